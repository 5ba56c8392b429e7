"""How well a denoiser does at each noise level, by itself and against another one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._devices import over_items
from .._keys import check_root
from .._types import Denoiser, PRNGKey, Times
from ..processes import AbstractProcess, OrnsteinUhlenbeck
from ..targets import is_divided
from ._assemble import check_times, experiment_dataset
from ._checks import check_denoiser_of, checked_points
from ._chunks import ChunkedProgram, Runner
from ._statistics import mean_and_stderr
from ._theory import channel_variances


def denoising_errors(
    denoise: Denoiser,
    points: Float[Any, "n d"],
    times: Times,
    *,
    key: PRNGKey,
    process: AbstractProcess | None = None,
    against: Denoiser | None = None,
    chunk: int | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Mean square error a coordinate of a denoiser on data, and its ratio to that of another one.

    $$ \mathrm{mse}(t) = \frac{1}{n d} \sum_i |\hat a(a_i + \sqrt{v}\,\varepsilon_i,\; v) - a_i|^2, \qquad v = v(t), $$

    with one noise a point, the same at all times and for both denoisers: what both err alike leaves the ratio. On data
    that a denoiser was not trained on, the least of it is the mean variance of the posterior,
    $\operatorname{tr} E\,\mathrm{Cov}(a | y) / d$; on those that it was trained on it may be anything
    down to 0. Against the best linear denoiser of the data the ratio tends to 1 at large noise.

    Args:
        denoise: `(y, v) -> estimate of a`.
        points: the data, one flat sample a row, two or more, in the units that the denoiser knows.
        times: diffusion times above 0, in order.
        key: a typed key, of the noise.
        process: whose times they are; the Ornstein-Uhlenbeck process at T = 1 by default.
        against: the other denoiser; none by default.
        chunk: points a compiled call; chosen by default.
        progress: whether to show a bar; by default on a terminal.

    Returns:
        A dataset on `t` (every clock as coordinates): `mse` and `mse_stderr`; `mse_against`, `ratio` and
        `ratio_stderr` if there is another denoiser. Errors are those of the mean over points and noise; that of the
        ratio is of its linearisation.

    Raises:
        ValueError: for points, times or keys that mean nothing, and for denoisers of other data.
    """
    times = check_times(times)
    check_root(key)
    samples = checked_points("points", points)
    check_denoiser_of(samples, denoise)
    if against is not None:
        check_denoiser_of(samples, against, "against")
    process = OrnsteinUhlenbeck() if process is None else process
    variances = channel_variances(process, times)
    denoisers = (denoise,) if against is None else (denoise, against)
    arguments = (denoisers, key, jnp.asarray(variances, samples.dtype), jnp.asarray(samples))
    elements = samples.shape[1] * len(denoisers)
    program = ChunkedProgram(_errors, arguments, items=len(samples), elements=elements, chunk=chunk)
    found = Runner(progress=progress).rows("denoising errors", program, {}, unit="point")
    errors = found["errors"].astype(np.float64)
    attrs = {"samples": len(samples), "d": samples.shape[1], "dtype": str(samples.dtype), "chunk": program.chunk}
    parameters = {"denoise": denoise, "against": against, "points": samples}
    return experiment_dataset("denoising-errors", process, times, _variables(errors), attrs, key, **parameters)


def _variables(errors: Float[np.ndarray, "n denoisers t"]) -> dict[str, tuple]:
    """Means over the points, and their ratio if there are two denoisers."""
    mean, stderr = mean_and_stderr(errors)
    variables: dict[str, tuple] = {
        "mse": ("t", mean[0], {"long_name": "mean square error a coordinate"}),
        "mse_stderr": ("t", stderr[0]),
    }
    if errors.shape[1] == 2:
        ratio = mean[0] / mean[1]
        apart = (errors[:, 0] - ratio * errors[:, 1]) / mean[1]
        variables |= {
            "mse_against": ("t", mean[1], {"long_name": "that of the other denoiser"}),
            "ratio": ("t", ratio, {"long_name": "of the errors"}),
            "ratio_stderr": ("t", mean_and_stderr(apart)[1]),
        }
    return variables


@eqx.filter_jit
def _errors(
    denoisers: tuple[Denoiser, ...], key: PRNGKey, variances: Float[Array, " t"], points: Float[Array, "n d"],
    first: Array, chunk: int,
) -> dict[str, Float[Array, "chunk denoisers t"]]:  # fmt: skip
    """The square errors a coordinate of each denoiser, on points `first ... first + chunk - 1`, at each variance."""

    def one(i):
        a = points[jnp.minimum(i, len(points) - 1)]
        noise = jr.normal(jr.fold_in(key, i), a.shape, a.dtype)

        def at(variance):
            y = a + jnp.sqrt(variance) * noise
            return jnp.stack([jnp.mean((denoise(y, variance) - a) ** 2) for denoise in denoisers])

        # One noise level after another: a network's features at all of them at once would be a chunk that many times.
        return jax.lax.map(at, variances).T

    return {"errors": over_items(jax.vmap(one), first, chunk, together=is_divided(denoisers))}
