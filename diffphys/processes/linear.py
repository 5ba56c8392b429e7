"""Any linear process with constant coefficients, and the complete recipe that makes stationary ones."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from .. import _block as block
from .._quadrature import gauss_legendre
from .._types import Block, Lift, Scalar
from .base import AbstractProcess, Kernel, check_order

Matrix = Float[Array | np.ndarray, "k k"]
Vector = Float[Array | np.ndarray, " k"]

# The law is a series over a time h with |F| h below _SHORT, then doubled; so often at most if the time is traced.
_SHORT, _DOUBLINGS = 0.125, 24
_NODES, _WEIGHTS = gauss_legendre(0.0, 1.0, points=8)


class LinearProcess(AbstractProcess):
    r"""$dz = F z\,dt + G\,dW$ with constant k x k matrices, for any k.

    The law over a time t is built without cancellation: over $t / 2^n$, short enough for the Taylor series of the
    propagator E and for Gauss-Legendre quadrature of the factor of $\int E G G^\top E^\top$; then doubled n times,
    joining factors by rotations. Tiny entries (the position of third-order Langevin has variance $\propto t^5$) keep
    full relative accuracy. The noise must reach every variable of the state, directly or through the drift.

    Args:
        drift: F, k x k.
        noise: G, k x k.
        lift: how data enters the state, k numbers; by default (1, 0, ..., 0).
        spread: lower triangular factor of the covariance of `z_0` given the data; by default none.

    Raises:
        ValueError: if a shape does not fit, or a value is not finite.
    """

    drift: Matrix
    noise: Matrix
    lift: Vector
    spread: Matrix

    def __init__(self, drift: Matrix, noise: Matrix, lift: Vector | None = None, spread: Matrix | None = None):
        k = np.shape(drift)[-1]
        self.drift, self.noise = block.parameter(drift), block.parameter(noise)
        self.lift = block.parameter(np.eye(k)[0] if lift is None else lift)
        self.spread = block.parameter(np.zeros((k, k)) if spread is None else spread)
        for name, value, shape in (
            ("drift", self.drift, (k, k)),
            ("noise", self.noise, (k, k)),
            ("lift", self.lift, (k,)),
            ("spread", self.spread, (k, k)),
        ):
            if value.shape != shape or block.fails(abs(value).max() < np.inf):
                raise ValueError(
                    f"`LinearProcess` needs a finite `{name}` of shape {shape}. Got shape {value.shape}: {value}."
                )

    def coefficients(self, t: Scalar) -> tuple[Block, Block]:
        _, (_, drift, noise) = block.scalars(t, self.drift, self.noise)
        return drift, noise

    def transition(self, s: Scalar, t: Scalar) -> tuple[Block, Block]:
        check_order(s, t)
        xp, (h, drift, noise) = block.scalars(t - s, self.drift, self.noise)
        # No more doublings than needed: each doubles the relative error of the propagator.
        wanted = xp.ceil(xp.log2(abs(drift).sum(1).max() * h / _SHORT + 1))
        law = _short_law(xp, drift, noise, h * 2**-wanted)
        if xp is np:
            for _ in range(int(wanted)):
                law = _doubled(*law)
            return law

        def double_if_wanted(i: Array, law: tuple[Array, Array]) -> tuple[Array, Array]:
            return jax.tree.map(lambda new, old: xp.where(i < wanted, new, old), _doubled(*law), law)

        return jax.lax.fori_loop(0, _DOUBLINGS, double_if_wanted, law)

    def start(self) -> tuple[Lift, Block]:
        return self.lift, self.spread

    def kernel(self, t: Scalar) -> Kernel:
        propagator, factor = self.transition(0.0, t)
        _, (propagator, lift, spread) = block.scalars(propagator, self.lift, self.spread)
        return Kernel.from_factor(block.matmul(propagator, lift), block.join(block.matmul(propagator, spread), factor))


def _short_law(xp: Any, drift: Any, noise: Any, h: Any) -> tuple[Any, Any]:
    """Propagator over a short time h, and factor of the covariance that noise alone makes."""
    nodes, weights = (xp.asarray(value, h.dtype)[:, None, None] for value in (_NODES, _WEIGHTS))
    columns = _exponential(drift[None] * (h * nodes), xp.stack([noise] * len(_NODES))) * xp.sqrt(h * weights)
    return _exponential(drift * h, xp.eye(drift.shape[0], dtype=drift.dtype)), block.join(*columns)


def _doubled(propagator: Any, factor: Any) -> tuple[Any, Any]:
    """The law over twice the time."""
    return propagator @ propagator, block.join(factor, propagator @ factor)


def _exponential(a: Any, b: Any) -> Any:
    """exp(a) b for small matrices a: by Taylor series on b, so that small entries keep their digits."""
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
        ValueError: if a shape does not fit, `dissipation` is not symmetric and positive semi-definite, `circulation`
            not antisymmetric or `curvature` not symmetric and positive definite.

    Reference:
        Ma, Chen, Fox, "A complete recipe for stochastic gradient MCMC" (2015);
        Pandey, Mandt, "A complete recipe for diffusion generative models" (2023), section 3.
    """
    d, q, c = (np.asarray(x, np.float64) for x in (dissipation, circulation, curvature))
    shape = 2 * d.shape[:1]
    if not d.shape == q.shape == c.shape == shape or not np.all(np.isfinite([d, q, c])):
        raise ValueError(
            "`complete_recipe` needs finite square matrices of one size. Got shapes "
            f"{d.shape}, {q.shape} and {c.shape}:\n{d}\n{q}\n{c}"
        )
    tolerance = 1e-12 * max(np.abs(d).max(), np.abs(q).max())
    if np.abs(q + q.T).max() > tolerance:
        raise ValueError(f"`complete_recipe` needs an antisymmetric `circulation`, Q = -Q'. Got\n{q}")
    values, vectors = np.linalg.eigh(d)
    if np.abs(d - d.T).max() > tolerance or values[0] < -tolerance:
        raise ValueError(
            "`complete_recipe` needs a symmetric positive semi-definite `dissipation`. "
            f"Got\n{d}\nwith eigenvalues {values}."
        )
    if np.abs(c - c.T).max() > 1e-12 * np.abs(c).max() or np.linalg.eigvalsh(c)[0] <= 0:
        raise ValueError(f"`complete_recipe` needs a symmetric positive definite `curvature`. Got\n{c}")
    # Negative eigenvalues are rounding here.
    return LinearProcess(-(d + q) @ c, vectors * np.sqrt(2 * np.maximum(values, 0)), spread=spread)


def third_order_langevin(friction: float = 27**0.5, coupling: float = 8**0.5, kappa: float = 0.04) -> LinearProcess:
    r"""Third-order Langevin dynamics of position, velocity and acceleration.

    $$ dq = p\,dt, \quad dp = (-q + \gamma s)\,dt, \quad ds = (-\gamma p - \xi s)\,dt + \sqrt{2\xi}\,dW. $$

    Noise reaches the data only through two integrations. At $\xi = 3\sqrt{3}$, $\gamma = 2\sqrt{2}$, the default,
    it is critically damped: the drift has one triple eigenvalue, $-\sqrt{3}$.

    Args:
        friction: $\xi > 0$.
        coupling: $\gamma$, not 0.
        kappa: variance of the starting velocity and acceleration, >= 0.

    Raises:
        ValueError: if a parameter is out of its range.

    Reference:
        Shi, Liu, "Generative modelling with high-order Langevin dynamics" (2024).
    """
    if not (0 < friction < np.inf and 0 < abs(coupling) < np.inf and 0 <= kappa < np.inf):
        raise ValueError(
            "`third_order_langevin` needs `friction > 0`, `coupling` not 0 and `kappa >= 0`, all finite. "
            f"Got {friction}, {coupling} and {kappa}. Without friction or coupling no noise reaches the data."
        )
    circulation = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, -coupling], [0.0, coupling, 0.0]])
    return complete_recipe(
        np.diag([0.0, 0.0, friction]), circulation, np.eye(3), spread=np.diag([0.0, kappa**0.5, kappa**0.5])
    )
