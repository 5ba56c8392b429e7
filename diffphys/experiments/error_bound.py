"""How far what is generated lies from the data: score error, step and horizon, each measured on a solvable model."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from .. import thermo
from .._types import Denoiser
from ..clocks import uniform_grid
from ..processes import OrnsteinUhlenbeck
from ..results import dataset
from ..samplers import ReverseSDE
from ..samplers.affine import LinearDenoiser
from ..samplers.table import AbstractTableSampler
from ._assemble import check_count
from ._gaussian_flow import GaussianLaw, push


def error_bound(
    spectrum: Float[np.ndarray, " N"] | Sequence[float],
    *,
    mean: float = 1.0,
    score_errors: Sequence[float] = (0.0, 0.01, 0.03, 0.1, 0.3),
    steps: Sequence[int] = (64, 128, 256, 512, 1024),
    horizons: Sequence[float] = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    stop: float = 0.02,
    temperature: float = 1.0,
    sampler: Callable[[OrnsteinUhlenbeck, Denoiser], AbstractTableSampler] = ReverseSDE,
    grid: Callable[[float, float, int], np.ndarray] = uniform_grid,
) -> xr.Dataset:
    r"""Distance of the generated law from the law of the data, exact, against all that makes it.

    The bound that is quoted in the talk, for a score within $\epsilon$ of the true one,

    $$ \|P^\theta - \pi\|_{TV} < B e^{-t_f} + C (\epsilon + \sqrt h)\, e^{D t_f}, $$

    is compared with the truth on $\mathcal N(m, C_0)$, the score being off by a constant vector of length $\epsilon$.
    All laws stay Gaussian, so nothing is sampled. A bound without unknown constants stands beside it: by the
    data-processing inequality, Pinsker's inequality and Girsanov's theorem, with continuous steps,

    $$ \mathrm{TV} \le \mathrm{TV}(P_{t_f}, \mathcal N(0, T)) + \sqrt{\mathrm{KL}_{path} / 2}, \qquad
       \mathrm{KL}_{path} = \tfrac12 \int E|\hat a - \hat a_\theta|^2 \frac{dv}{v^2}
       = \epsilon^2\, T\, (t_f - t_{min}) . $$

    So an error of the score costs a root of the horizon, not its exponential.

    Args:
        spectrum: the eigenvalues of the covariance, (N,), >= 0; zero for directions in which the data do not vary.
        mean: every coordinate of the mean.
        score_errors: $\epsilon$, the length of the error of the score.
        steps: numbers of steps of the sampler.
        horizons: $t_f$, where N(0, T) is drawn and the sampler starts.
        stop: where it ends, $t_{min}$; the generated law is compared with that of the data at this time.
        temperature: T of the Ornstein-Uhlenbeck bath.
        sampler: `sampler(process, denoise)`, an overdamped sampler whose steps are a table.
        grid: makes the grid, `grid(t_f, stop, steps)`.

    Returns:
        A dataset on (`score_error`, `steps`, `horizon`): `total_variation` and `wasserstein` (squared) between what is
        generated and the law at `stop`. On `horizon`: `prior_mismatch`, the total variation of P_{t_f} and N(0, T). On
        (`score_error`, `horizon`): `path_kl` and `bound`. Attributes: `stopping_wasserstein`, squared, between the law
        at `stop` and the data, of order N T (2 stop) where these are singular: there the total variation is 1.

    Raises:
        ValueError: for numbers that mean nothing.

    Reference:
        De Bortoli, Thornton, Heng, Doucet, "Diffusion Schroedinger bridge" (2021), for the bound.
    """
    values = np.asarray(spectrum, np.float64)
    ends, errors = np.asarray(horizons, np.float64), np.asarray(score_errors, np.float64)
    if values.ndim != 1 or len(values) == 0 or not (values >= 0).all():
        raise ValueError(f"`spectrum` needs eigenvalues of a covariance, (N,), >= 0. Got {spectrum!r}.")
    if not (errors >= 0).all() or not 0 < stop < ends.min():
        raise ValueError(
            "`error_bound` needs `score_errors` >= 0 and 0 < `stop` < `horizons`. "
            f"Got {score_errors}, {stop} and {horizons}."
        )
    for count in steps:
        check_count("steps", count, 1)
    data = _NormalData(values, np.full(len(values), float(mean)), temperature)
    target, run = data.law(stop), sampler(OrnsteinUhlenbeck(temperature), lambda y, v: y)
    prior = GaussianLaw(np.zeros(len(values)), np.full(len(values), temperature))
    start, denoise = GaussianLaw(*(np.tile(part, len(errors)) for part in prior)), data.denoiser(errors)
    found = [
        [_distances(push(run, denoise, start, grid(float(end), stop, count)), target) for end in ends]
        for count in steps
    ]
    variation, transport = np.array(found).transpose(2, 3, 0, 1)
    mismatch = [_distances(data.law(t), prior)[0][0] for t in ends]
    path = errors[:, None] ** 2 * temperature * (ends - stop)
    dims = ("score_error", "steps", "horizon")
    variables = {
        "total_variation": (dims, variation), "wasserstein": (dims, transport),
        "prior_mismatch": ("horizon", mismatch), "path_kl": (("score_error", "horizon"), path),
        "bound": (("score_error", "horizon"), np.minimum(1.0, np.sqrt(path / 2) + mismatch)),
    }  # fmt: skip
    coords = {"score_error": errors, "steps": np.asarray(steps), "horizon": ends}
    parameters = {"spectrum": values, "mean": mean, "stop": stop, "temperature": temperature}
    ds = dataset(variables, coords, experiment="error-bound", seed=None, parameters=parameters)
    return ds.assign_attrs(
        stop=stop, sampler=type(run).__name__, grid=getattr(grid, "__name__", type(grid).__name__),
        stopping_wasserstein=thermo.wasserstein(target.variance, values, target.mean - data.mean),
    )  # fmt: skip


class _NormalData(NamedTuple):
    """Normal data with independent coordinates, under an Ornstein-Uhlenbeck process."""

    spectrum: Float[np.ndarray, " N"]
    mean: Float[np.ndarray, " N"]
    temperature: float

    def law(self, t: float) -> GaussianLaw:
        """Their law at a time."""
        variance = -self.temperature * np.expm1(-2 * t) + np.exp(-2 * t) * self.spectrum
        return GaussianLaw(np.exp(-t) * self.mean, variance)

    def denoiser(self, errors: Float[np.ndarray, " errors"]) -> LinearDenoiser:
        """Those of scores that are off by vectors of these lengths, all at once: coordinates are independent."""
        spectrum, mean = np.tile(self.spectrum, len(errors)), np.tile(self.mean, len(errors))
        shifts = np.repeat(errors, len(self.mean)) * len(self.mean) ** -0.5

        def denoise(variance: float, t: float) -> tuple[np.ndarray, np.ndarray]:
            # The estimate is e^t (x + Delta s): its error is e^t Delta times that of the score, m v in the channel.
            slope = spectrum / (spectrum + variance)
            lift = float(np.sqrt(self.temperature / (self.temperature + variance)))
            return slope, (1 - slope) * mean + lift * variance * shifts

        return denoise


def _distances(made: GaussianLaw, target: GaussianLaw) -> Float[np.ndarray, "2 laws"]:
    """Total variation and squared Wasserstein distance from a law, of several one after the other."""
    laws = [*zip(*(part.reshape(-1, len(target.mean)) for part in made), strict=True)]
    measures = (thermo.total_variation, thermo.wasserstein)
    return np.array([[m(variance, target.variance, mean - target.mean) for mean, variance in laws] for m in measures])
