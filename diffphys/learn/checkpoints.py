"""A model in a folder: what it is, and the checkpoints of its training."""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from .._config import canonical, differences
from .._devices import first_for_all, is_first_process, wait_for_all
from .._files import claimed, replacing

# What the folder of a model holds.
DESCRIPTION, _GAUSSIAN, _STEPS = "model.json", "preconditioning.npz", "checkpoints"
# How tensorstore, which writes the arrays, names an error of the operating system, now and in earlier releases.
_OF_A_FILE = re.compile(r"os_error_code|OS error|No space left")
# The parts of a state.
_ITEMS = ("model", "rest")


class Checkpoints:
    """The folder of a model, and the states of its training by step: one for all processes, which all save together.

    States are written by orbax in the background, whole or not at all; the latest and the best (of the least loss)
    are kept, and those of the steps in `milestones`.

    Args:
        folder: where; made if it is not there.
        description: of the model, plain enough for JSON. A folder of another one is refused.
        arrays: of the preconditioning, kept beside the description.
        milestones: steps whose states are kept for good.
        resume: whether a folder that has states already is gone on with, or refused.

    Raises:
        ValueError: for a folder of another model, in which another run is writing, or that has states while `resume`
            is false, or milestones that are gone by.
        OSError: if it cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        *,
        milestones: tuple[int, ...] = (),
        resume: bool = False,
    ):
        self.folder = pathlib.Path(folder).absolute()
        with contextlib.ExitStack() as claim:
            first_for_all(lambda: self._take(claim))
            self._begin(json.loads(canonical(description)), arrays, milestones, resume)
            self._claim = claim.pop_all()

    def _take(self, claim: contextlib.ExitStack) -> None:
        """Makes the folder, and claims it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        claim.enter_context(claimed(self.folder, "checkpoint"))

    def _begin(
        self, plain: dict[str, Any], arrays: Mapping[str, np.ndarray], milestones: tuple[int, ...], resume: bool
    ) -> None:
        """Describes the model in an empty folder, or finds the same one there."""
        file = self.folder / DESCRIPTION
        if file.exists():
            _refuse_another(self.folder, _description(self.folder), plain)
            if not resume and _steps_in(self.folder):
                raise ValueError(
                    f"`checkpoint` needs an empty folder, or `resume`. Got `{self.folder}` with a model in it. "
                    "Resume it, or give another folder."
                )
        elif is_first_process():
            with replacing(self.folder / _GAUSSIAN) as path:
                np.savez(path, **dict(arrays))  # type: ignore[arg-type]
            with replacing(file) as path:
                path.write_text(json.dumps(plain, indent=2))
        # No process looks for states in a folder that another has not looked at, or made.
        wait_for_all()
        self._manager = _manager(self.folder, milestones)
        kept = sorted(self._manager.all_steps())
        gone = [step for step in milestones if kept and step < kept[-1] and step not in kept]
        if gone:
            raise ValueError(
                f"`milestones` needs steps that are kept or to come. Got {gone} in `{self.folder}`, which is at "
                f"{kept[-1]} and keeps {kept}. Leave them out, or train in another folder."
            )

    @property
    def last(self) -> int | None:
        """The step of the latest state, or None."""
        return self._manager.latest_step()

    def save(self, step: int, items: Mapping[str, Any], loss: float) -> None:
        """Writes the parts of a state in the background, unless that step is there.

        Raises:
            OSError: if this one, or the one before it, cannot be written.
        """
        if step not in self._manager.all_steps():
            parts = {name: ocp.args.StandardSave(item) for name, item in items.items()}
            with _unwritten(self.folder):
                self._manager.save(step, args=ocp.args.Composite(**parts), metrics={"loss": loss}, force=True)

    def restore(self, like: Mapping[str, Any]) -> Any:
        """The parts of the latest state, with the types, shapes and places of `like`."""
        return _restore(self._manager, self.folder, like, self.last)

    def close(self) -> None:
        """Waits until all states are written, and leaves the folder to others.

        Raises:
            OSError: if the last one cannot be.
        """
        with self._claim, _unwritten(self.folder):
            self._manager.wait_until_finished()
            self._manager.close()


def describe(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description of the model in a folder, and the arrays of its preconditioning.

    Raises:
        ValueError: if no model is there, or it has no state yet, or it is damaged.
    """
    place = pathlib.Path(folder)
    description = _description(place)
    try:
        with np.load(place / _GAUSSIAN, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError) as error:
        raise ValueError(f"`folder` needs a whole model. Got `{folder}` with a bad {_GAUSSIAN}: {error}.") from None
    if not _steps_in(place):
        raise ValueError(f"`folder` needs a trained model. Got `{folder}` without a finished checkpoint. Train it.")
    return description, arrays


def _description(place: pathlib.Path) -> dict[str, Any]:
    """What the folder of a model says of it."""
    try:
        found = json.loads((place / DESCRIPTION).read_text())
    except FileNotFoundError:
        raise ValueError(
            f"`folder` needs a model, as `diffphys train` and `learn.train` leave one. Got `{place}`, without "
            f"{DESCRIPTION}. Check the path."
        ) from None
    except (ValueError, OSError) as error:
        raise ValueError(f"`folder` needs a whole model. Got `{place}` with a bad {DESCRIPTION}: {error}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"`folder` needs a whole model. Got `{place}`, whose {DESCRIPTION} describes none.")
    return found


def restore(folder: str | os.PathLike[str], like: Mapping[str, Any], step: int | str = "last") -> tuple[int, Any]:
    """Parts of the state of a step, of the last, or of the best, and its step.

    Raises:
        ValueError: for a step that was not kept, or a checkpoint of another architecture.
    """
    place = pathlib.Path(folder).absolute()
    manager = _manager(place, (), create=False)
    steps = sorted(manager.all_steps())
    wanted = {"last": manager.latest_step(), "best": manager.best_step()}.get(step, step)  # type: ignore[arg-type]
    if wanted not in steps:
        raise ValueError(f"`step` needs last, best or one of the steps kept, {steps}. Got {step!r}.")
    state = _restore(manager, place, like, int(wanted))
    manager.close()
    return int(wanted), state


def _manager(folder: pathlib.Path, milestones: tuple[int, ...], *, create: bool = True) -> Any:
    options = ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics["loss"],
        best_mode="min",
        preservation_policy=policies.AnyPreservationPolicy(
            [
                policies.LatestN(1),
                policies.BestN(get_metric_fn=lambda metrics: metrics["loss"], reverse=True, n=1),
                policies.CustomSteps(list(milestones)),
            ]
        ),
        create=create,
    )
    handlers = {name: ocp.StandardCheckpointHandler() for name in _ITEMS}
    with _damaged(folder / _STEPS):
        return ocp.CheckpointManager(folder / _STEPS, options=options, item_handlers=handlers)


def _restore(manager: Any, folder: pathlib.Path, like: Any, step: int | None) -> Any:
    wanted = {name: jax.tree.map(ocp.utils.to_shape_dtype_struct, item) for name, item in like.items()}
    with _damaged(folder / _STEPS / str(step)):
        found = manager.item_metadata(step)
        there = {name: jax.tree.leaves(found[name]) for name in wanted}
    for name, item in wanted.items():
        # Told beforehand: orbax would report each array that does not fit from a thread of its own.
        theirs, ours = (sorted(tuple(leaf.shape) for leaf in leaves) for leaves in (there[name], jax.tree.leaves(item)))
        if theirs and theirs != ours:
            raise ValueError(
                f"`checkpoint` needs states of the network that `{folder / DESCRIPTION}` describes. Got those of "
                f"another architecture: {len(theirs)} arrays there, {len(ours)} here; of shapes that only one has, "
                f"{sorted(set(theirs) ^ set(ours))[:6]}."
            )
    parts = {name: ocp.args.StandardRestore(item) for name, item in wanted.items()}
    with _damaged(folder / _STEPS / str(step)):
        return manager.restore(step, args=ocp.args.Composite(**parts))


@contextlib.contextmanager
def _unwritten(folder: pathlib.Path) -> Iterator[None]:
    """What orbax says of a state that it cannot write, a full disk for one, from threads of its own."""
    try:
        yield
    except (ValueError, OSError) as error:
        # A process that was lost is a ValueError too, for the loop to tell.
        if not (isinstance(error, OSError) or _OF_A_FILE.search(str(error))):
            raise
        reason = str(error).splitlines()[0].split(": ")[-1]
        raise OSError(
            f"`checkpoint` needs a folder that can be written. Got `{folder}`: {reason}. States that it has are whole: "
            "make room, and resume."
        ) from error


@contextlib.contextmanager
def _damaged(place: pathlib.Path) -> Iterator[None]:
    """What orbax says of a state that it cannot read, with its place."""
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"`checkpoint` needs whole states. Got a damaged one in `{place}`: {reason}. Remove its folder to go on "
            "from the state before it, if there is one."
        ) from error


def _steps_in(folder: pathlib.Path) -> list[int]:
    place = folder / _STEPS
    return sorted(int(path.name) for path in place.iterdir() if path.name.isdigit()) if place.is_dir() else []


def _refuse_another(folder: pathlib.Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    changes = differences(found, wanted)
    if changes:
        listed = "; ".join(f"{name}: {theirs} there, {ours} now" for name, theirs, ours in changes[:8])
        raise ValueError(
            f"`checkpoint` needs the folder of this model. Got `{folder}` of another: {listed}. "
            "Train with its settings, or give another folder."
        )
