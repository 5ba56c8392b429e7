"""What an experiment on times was asked for, checked once: it runs its parts and labels what they give."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._types import PRNGKey, Scalar
from ..processes import AbstractProcess
from ..samplers import AbstractSampler
from ..samplers._checks import check_process
from ..targets import AbstractDataSet, shape_of
from ..targets._arrays import concrete
from ._accuracy import Accuracy
from ._assemble import (
    CloneOptions,
    Variables,
    check_count,
    experiment_dataset,
    held_variances,
    runner_for,
    sampler_for,
    split_key,
)
from ._chunks import Runner
from ._clone_curves import clone_curves
from ._clones import Readout
from ._forward import ForwardRun, half_sample_errors, measure_forward
from ._last_change import Walks, last_changes


class Asked(NamedTuple):
    """The target, process and times of an experiment, and how its forward samples and its clones are run."""

    name: str
    target: Any
    """A labelled target; for what is said of data, a data set."""
    process: AbstractProcess
    times: Float[np.ndarray, " times"]
    variances: Float[np.ndarray, " times"]
    key: PRNGKey
    forward_key: PRNGKey
    clone_key: PRNGKey
    sampler: AbstractSampler
    options: CloneOptions | None
    """None for no clones."""
    walks: Walks | None
    """None for no last changes of the nearest datum."""
    samples: int | None
    """None for no forward samples."""
    accuracy: Accuracy | None
    datasets: int | None
    runner: Runner
    tell: Callable[[xr.Dataset], None] | None
    parameters: dict[str, Any]
    """All that a result says of how it was made, by name."""

    @classmethod
    def checked(
        cls,
        name: str,
        target: Any,
        process: AbstractProcess,
        times: Float[np.ndarray, " times"],
        key: PRNGKey,
        options: CloneOptions | None,
        *,
        sampler: AbstractSampler | None,
        samples: int | None,
        accuracy: Accuracy | None = None,
        datasets: int | None,
        chunk: int | None,
        checkpoint: str | pathlib.Path | None,
        progress: bool | None,
        tell: Callable[[xr.Dataset], None] | None,
        walks: Walks | None = None,
        **parameters: Any,
    ) -> "Asked":
        """What was asked for, with the sampler and the runner that it needs; `parameters` are those of its own."""
        check_count("samples", samples, 32)
        forward_key, clone_key = split_key(key)
        check_process(name, process)
        # Data are on the host when a set of them is made: none of theirs is traced, and they are many.
        if not isinstance(target, AbstractDataSet) and any(concrete(leaf) is None for leaf in jax.tree.leaves(target)):
            raise ValueError(
                f"`{name}` needs a target whose values are known: it runs from the host, in chunks. Got traced ones. "
                "Do call it outside of `jit`, `vmap` and `grad`; what `Diffused` says of a target can be traced."
            )
        if sampler is not None and options is None and walks is None:
            raise ValueError("`sampler` moves trajectories. Got no `clones`. Do ask for some.")
        sampler = sampler_for(sampler, process, target)
        parameters = {"target": target, "samples": samples, "datasets": datasets, **parameters}
        if options is not None:
            parameters["clones"] = {"sampler": sampler, **options._asdict()}
        if walks is not None:
            parameters["trajectories"] = {"sampler": sampler, **walks._asdict()}
        runner = runner_for(process, times, key, chunk, checkpoint, progress, target=target)
        return cls(
            name, target, process, times, held_variances(process, times, target), key, forward_key, clone_key, sampler,
            options, walks, samples, accuracy, datasets, runner, tell, parameters,
        )  # fmt: skip

    def forward(self, *, labels: bool = True) -> ForwardRun:
        """The forward samples; `labels`: whether what a data set says of its labels is measured."""
        assert self.samples is not None, "forward samples were asked for"
        return measure_forward(
            self.target, self.variances, self.times, key=self.forward_key, samples=self.samples, runner=self.runner,
            accuracy=self.accuracy, labels=labels, name=f"{self.name}-forward",
        )  # fmt: skip

    def data_errors(self, *quantities: str, labels: bool = True) -> dict[str, tuple]:
        """`stderr_data` of quantities of forward samples, by half-samples of the data set."""
        assert self.samples is not None, "forward samples were asked for"
        return half_sample_errors(
            self.target, self.variances, self.times, quantities, key=self.forward_key, samples=self.samples,
            datasets=self.datasets, accuracy=self.accuracy, with_labels=labels,
        )  # fmt: skip

    def clones(
        self,
        readout: Readout,
        quantity: str,
        expected: Callable[[Array, Scalar], dict[str, Array]] | None,
    ) -> tuple[Variables, dict[str, Any]]:
        """The curves of clones and their attributes; see `clone_curves`."""
        assert self.options is not None, "clones were asked for"
        return clone_curves(
            self.sampler, readout, self.target, self.times, self.options, key=self.clone_key,
            dtype=shape_of(self.target).dtype,
            runner=self.runner, name=f"{self.name}-clones", quantity=quantity, expected=expected,
        )  # fmt: skip

    def last_changes(self) -> tuple[Variables, dict[str, Any]]:
        """The last changes of the nearest datum and their attributes, if they were asked for; see `last_changes`."""
        if self.walks is None:
            return {}, {}
        return last_changes(
            self.target, self.sampler, self.times, self.walks, key=jax.random.fold_in(self.clone_key, 1),
            runner=self.runner,
        )  # fmt: skip

    def dataset(self, variables: Variables, attrs: dict[str, Any]) -> xr.Dataset:
        """The labelled result."""
        return experiment_dataset(
            self.name, self.process, self.times, variables, attrs, self.key, **self.parameters
        )  # fmt: skip

    def report(self, variables: Variables, attrs: dict[str, Any]) -> None:
        """Gives what needs no trajectory to whoever asked to be told."""
        if self.tell is not None:
            self.tell(self.dataset(variables, attrs))
