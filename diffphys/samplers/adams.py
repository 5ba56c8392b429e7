"""Adams-Bashforth methods for the probability flow: polynomials through past predictions of the noise."""

from typing import Literal

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .. import _block as block
from .._quadrature import gauss_legendre
from .._types import Denoiser
from ..processes import AbstractProcess
from ._checks import check_whole
from ._lagrange import lagrange_integrals
from .channel import AbstractChannelSampler, ChannelStep, weigh
from .combination import Combination


class DEIS(AbstractChannelSampler):
    r"""The diffusion exponential integrator: Adams-Bashforth on the prediction of the noise.

    $$ y_s = y + \sum_i \hat\varepsilon_i \int_{\rho_t}^{\rho_s} \ell_i\,d\rho , $$

    the sum over this prediction and those of the steps before, $\ell_i$ the Lagrange polynomials of their knots in the
    time of the process (tAB), in the noise level $\rho$ (rhoAB) or in $\lambda = -\log\rho$ (lambdaAB). Order
    `order`, one evaluation a step. The first steps are of orders 1, 2, ...: harmless where the grid begins in nothing
    but noise.

    Args:
        process: the forward process, overdamped. For `basis="t"` its clock matters: see `Scheduled`.
        denoise: `(y, v) -> E[a | y]`.
        order: how many predictions are used, 1 to 4; 1 is `DDIM`.
        basis: the variable of the polynomials, "t", "rho" or "lambda".

    Raises:
        ValueError: if `order` or `basis` is none of these, or the process is not overdamped.

    Reference:
        Zhang and Chen, "Fast sampling of diffusion models with exponential integrator" (2023).
    """

    process: AbstractProcess
    denoise: Denoiser
    order: int = eqx.field(static=True, default=3)
    basis: Literal["t", "rho", "lambda"] = eqx.field(static=True, default="rho")
    is_time_reversal = False
    draws = 0
    evaluations = 1

    def __check_init__(self):
        check_whole("DEIS", "order", self.order, 1, 4)
        if self.basis not in ("t", "rho", "lambda"):
            raise ValueError(f'`DEIS` needs `basis` to be "t", "rho" or "lambda". Got {self.basis!r}.')

    @property
    def history(self) -> int:
        return self.order - 1

    def advance(self, step: ChannelStep) -> Combination:
        predictions = step.recall(step.noise(), self.order)
        return step.y + weigh(self.integrals(step, len(predictions)), predictions)

    def integrals(self, step: ChannelStep, count: int) -> Float[np.ndarray, " count"]:
        r"""$\int \ell_i\,d\rho$ over the step, for as many knots, the latest first: to rounding."""
        if self.basis == "t":
            # In log t, where the square root that rho begins with is smooth. Parts of 1/4 in lambda: 1e-15 or better.
            first, last = np.log([step.t, step.time(-1)])
            points, weights = gauss_legendre(first, last, points=8, panels=1 + int(4 * step.h))
            times = np.exp(points)
            weights = weights * times * [_velocity(step, t) for t in times]
            return lagrange_integrals([step.time(k) for k in range(count)], times, weights)
        if self.basis == "rho":
            return lagrange_integrals([step.level(k) for k in range(count)], *gauss_legendre(step.rho, step.rho_s))
        points, weights = gauss_legendre(step.log_snr(0), step.log_snr(-1))
        return lagrange_integrals([step.log_snr(k) for k in range(count)], points, -weights * np.exp(-points))


class FlowAdams(AbstractChannelSampler):
    r"""Adams-Bashforth on the velocity of flow matching, along the straight path $w = (1 - u)\,a + u\,\varepsilon$.

    $$ w = \frac{y}{1 + \rho}, \quad u = \frac{\rho}{1 + \rho}, \qquad
       w_s = w + \sum_i \hat v_i \int_{u_t}^{u_s} \ell_i\,du, \qquad \hat v = \hat\varepsilon - \hat a, $$

    the sum over this prediction and those of the steps before. Order `order`, one evaluation a step, exact for a single
    datum. The first steps are of orders 1, 2, ...

    Args:
        process: the forward process, overdamped.
        denoise: `(y, v) -> E[a | y]`.
        order: how many predictions are used, 1 to 4.

    Reference:
        Lipman et al., "Flow matching for generative modeling" (2023), for the path; Zhang and Chen, "Fast sampling of
        diffusion models with exponential integrator" (2023), for the polynomials.
    """

    process: AbstractProcess
    denoise: Denoiser
    order: int = eqx.field(static=True, default=3)
    is_time_reversal = False
    draws = 0
    evaluations = 1

    def __check_init__(self):
        check_whole("FlowAdams", "order", self.order, 1, 4)

    @property
    def history(self) -> int:
        return self.order - 1

    def advance(self, step: ChannelStep) -> Combination:
        a = step.data()
        predictions = step.recall((step.y - a) / step.rho - a, self.order)
        knots = [_path(step.level(k)) for k in range(len(predictions))]
        weights = lagrange_integrals(knots, *gauss_legendre(_path(step.rho), _path(step.rho_s)))
        return (1 + step.rho_s) * (step.y / (1 + step.rho) + weigh(weights, predictions))


def _path(rho: float) -> float:
    """Where on the straight path a noise level is."""
    return rho / (1 + rho)


def _velocity(step: ChannelStep, t: float) -> float:
    r"""$d\rho / dt$, from $dv / dt = G^2 / m^2$."""
    kernel, noise = step.step.process.kernel(t), step.step.process.coefficients(t)[1]
    return 0.5 * block.outer(noise) / (kernel.mean * kernel.factor)
