"""Any linear process with constant coefficients, and the complete recipe that makes stationary ones."""

import numpy as np
from jaxtyping import Float

from .. import _block as block
from .._types import Block, Lift, Scalar
from .base import AbstractProcess, Kernel

# |F| h / 2^_HALVINGS must be small: the interval is halved so often, and the law doubled back.
_HALVINGS = 14
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class LinearProcess(AbstractProcess):
    r"""$dz = F z\,dt + G\,dW$ with constant k x k matrices, for any k.

    The law over a time h is built without cancellation: over $h / 2^{14}$ by Taylor series and Gauss-Legendre
    quadrature of the factor of $\int E G G^\top E^\top$, then doubled 14 times, joining factors by rotations.
    Tiny entries (the position of third-order Langevin has variance $\propto t^5$) keep full relative accuracy.

    Args:
        drift: F, k x k.
        noise: G, k x k.
        lift: how data enters the state, k numbers; by default (1, 0, ..., 0).
        spread: lower triangular factor of the covariance of `z_0` given the data; by default none.
    """

    drift: Float[np.ndarray, "k k"]
    noise: Float[np.ndarray, "k k"]
    lift: Float[np.ndarray, " k"]
    spread: Float[np.ndarray, "k k"]

    def __init__(self, drift, noise, lift=None, spread=None):
        self.drift, self.noise = block.parameter(drift), block.parameter(noise)
        k = self.drift.shape[-1]
        self.lift = block.parameter(np.eye(k)[0] if lift is None else lift)
        self.spread = block.parameter(np.zeros((k, k)) if spread is None else spread)
        for name, value, shape in (
            ("drift", self.drift, (k, k)),
            ("noise", self.noise, (k, k)),
            ("lift", self.lift, (k,)),
            ("spread", self.spread, (k, k)),
        ):
            if value.shape != shape or not np.all(np.isfinite(value)):
                raise ValueError(
                    f"`LinearProcess` needs a finite `{name}` of shape {shape}. Got shape {value.shape}: {value}."
                )

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        _, (_, drift, noise) = block.scalars(t, self.drift, self.noise)
        return drift, noise

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        xp, (h, drift, noise) = block.scalars(t - s, self.drift, self.noise)
        h = h / 2**_HALVINGS
        nodes = 0.5 * (1 + _NODES)
        columns = [
            _exponential(xp, drift * (h * node), noise) * xp.sqrt(0.5 * h * weight)
            for node, weight in zip(nodes, _WEIGHTS, strict=True)
        ]
        factor = block.join(*columns)
        propagator = _exponential(xp, drift * h, xp.eye(drift.shape[0], dtype=drift.dtype))
        for _ in range(_HALVINGS):
            factor = block.join(factor, propagator @ factor)
            propagator = propagator @ propagator
        return propagator, factor

    def start(self) -> tuple[Lift, Block]:
        return self.lift, self.spread

    def kernel(self, t: Scalar) -> Kernel:
        propagator, factor = self.transition(0.0, t)
        _, (lift, spread, _) = block.scalars(self.lift, self.spread, t)
        return Kernel.from_factor(propagator @ lift, block.join(propagator @ spread, factor))


def _exponential(xp, a, b):
    """exp(a) b for a small matrix a: by Taylor series on b, so that small entries keep their digits."""
    term = total = b
    for j in range(1, 12):
        term = a @ term / j
        total = total + term
    return total


def complete_recipe(
    dissipation: Float[np.ndarray, "k k"],
    circulation: Float[np.ndarray, "k k"],
    curvature: Float[np.ndarray, "k k"],
    *,
    spread: Float[np.ndarray, "k k"] | None = None,
) -> LinearProcess:
    r"""The linear process with stationary law $\propto e^{-H}$, $H = \tfrac12 z^\top C z$.

    $$ F = -(D + Q)\,C, \qquad G G^\top = 2 D, $$

    for any positive semi-definite D and antisymmetric Q; every linear diffusion with that law is of this form.

    Args:
        dissipation: D.
        circulation: Q.
        curvature: C, the inverse of the stationary covariance.
        spread: lower triangular factor of the covariance of `z_0` given the data.

    Raises:
        ValueError: if `dissipation` is not symmetric and positive semi-definite, `circulation` not antisymmetric
            or `curvature` not symmetric and positive definite.

    Reference:
        Ma, Chen, Fox, "A complete recipe for stochastic gradient MCMC" (2015);
        Pandey, Mandt, "A complete recipe for diffusion generative models" (2023), section 3.
    """
    d, q, c = (np.asarray(x, np.float64) for x in (dissipation, circulation, curvature))
    tolerance = 1e-12 * max(1.0, float(np.abs(d).max()), float(np.abs(q).max()))
    if np.abs(q + q.T).max() > tolerance:
        raise ValueError(f"`complete_recipe` needs an antisymmetric `circulation`, Q = -Q'. Got\n{q}")
    if np.abs(d - d.T).max() > tolerance or np.linalg.eigvalsh(d)[0] < -tolerance:
        raise ValueError(
            f"`complete_recipe` needs a symmetric positive semi-definite `dissipation`. Got eigenvalues "
            f"{np.linalg.eigvals(d)} of\n{d}"
        )
    if np.abs(c - c.T).max() > 1e-12 * np.abs(c).max() or np.linalg.eigvalsh(c)[0] <= 0:
        raise ValueError(f"`complete_recipe` needs a symmetric positive definite `curvature`. Got\n{c}")
    values, vectors = np.linalg.eigh(2 * d)
    return LinearProcess(-(d + q) @ c, vectors * np.sqrt(np.clip(values, 0, None)), spread=spread)


def third_order_langevin(friction: float = 27**0.5, coupling: float = 8**0.5, kappa: float = 0.04) -> LinearProcess:
    r"""Third-order Langevin dynamics of position, velocity and acceleration.

    $$ dq = p\,dt, \quad dp = (-q + \gamma s)\,dt, \quad ds = (-\gamma p - \xi s)\,dt + \sqrt{2\xi}\,dW. $$

    Noise reaches the data only through two integrations. At $\xi = 3\sqrt{3}$, $\gamma = 2\sqrt{2}$, the default,
    it is critically damped: the drift has one triple eigenvalue, $-\sqrt{3}$.

    Args:
        friction: $\xi$.
        coupling: $\gamma$.
        kappa: variance of the starting velocity and acceleration.

    Reference:
        Shi, Liu, "Generative modelling with high-order Langevin dynamics" (2024).
    """
    circulation = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, -coupling], [0.0, coupling, 0.0]])
    return complete_recipe(
        np.diag([0.0, 0.0, friction]), circulation, np.eye(3), spread=np.diag([0.0, kappa**0.5, kappa**0.5])
    )
