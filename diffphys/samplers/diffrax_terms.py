"""Samplers handed to diffrax: any of its solvers and step size controllers, on the flow and the reverse diffusions."""

from typing import Any

import diffrax
import numpy as np
from jaxtyping import Array, PyTree

from .. import _block as block
from .._types import Block, Denoiser, Scalar, State
from ..processes import AbstractProcess
from ._checks import check_parts
from ._drift import reverse_drift


def as_diffrax(
    process: AbstractProcess,
    denoise: Denoiser,
    path: diffrax.AbstractBrownianPath | None = None,
    *,
    t_max: Scalar | None = None,
    noise_level: float | None = None,
) -> diffrax.AbstractTerm:
    r"""The probability flow, or with a Brownian path a reverse diffusion, as a term of diffrax.

    The flow, $\dot z = F z - \tfrac12 G G^\top \nabla\log p_t(z)$, is in diffusion time, either way: down to sample,
    `t0 > t1`, and up to encode. One evaluation each time that the solver asks for the velocity.

    ```python
    import diffrax

    solution = diffrax.diffeqsolve(
        as_diffrax(process, denoise),
        diffrax.Tsit5(),
        t0=t_max,
        t1=t_min,
        dt0=None,
        y0=z,
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
    )
    solution.ys[-1], solution.stats["num_steps"]
    ```

    The reverse diffusion at a noise level $\lambda$ is in the clock $\tau = t_{max} - t$, from 0 to `t_max - t_min`:

    $$ dz = \big[-F z + \tfrac{1 + \lambda^2}{2} G G^\top \nabla\log p_t\big]\,d\tau + \lambda\,G\,dW_\tau . $$

    It runs up, since diffrax 0.7 run down has the wrong sign of Levy areas: its solvers of higher order then lose to
    Euler's, without an error. The noise is additive, so Ito and Stratonovich solvers agree, and those for additive
    noise (`diffrax.ShARK`) apply.

    ```python
    import diffrax

    path = diffrax.VirtualBrownianTree(0.0, t_max - t_min, 1e-3, z.shape, key, diffrax.SpaceTimeLevyArea)
    solution = diffrax.diffeqsolve(
        as_diffrax(process, denoise, path, t_max=t_max),
        diffrax.ShARK(),
        t0=0.0,
        t1=t_max - t_min,
        dt0=0.01,
        y0=z,
    )
    ```

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.
        path: Brownian motion of the shape of the state; none for the flow.
        t_max: the diffusion time at which a reverse diffusion starts; needed with `path`.
        noise_level: $\lambda > 0$ of a reverse diffusion; by default 1, Anderson's, the one that reverses paths.

    Raises:
        ValueError: with a path, unless `t_max` is given and `noise_level` is positive and finite; without, if one of
            them is given.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eqs. 6 and 13;
        Kidger, "On neural differential equations" (2021), for diffrax.
    """
    check_parts("as_diffrax", process, denoise)
    if path is None:
        for name, given in {"t_max": t_max, "noise_level": noise_level}.items():
            if given is not None:
                raise ValueError(
                    f"`as_diffrax` needs a Brownian `path` with `{name}`, which is of a reverse diffusion. Got none. "
                    "Do leave it out for the flow, whose clock is diffusion time."
                )
        return diffrax.ODETerm(lambda t, z, args: reverse_drift(process, denoise, t, z)[0])
    if t_max is None:
        raise ValueError(
            "`as_diffrax` needs `t_max` with a `path`: the diffusion time where its clock starts. Got None."
        )
    noise_level = 1.0 if noise_level is None else noise_level
    if not 0 < noise_level < np.inf:
        raise ValueError(
            f"`as_diffrax` needs a finite `noise_level > 0`. Got {noise_level}. Do leave out `path` for the flow."
        )
    drift = diffrax.ODETerm(lambda tau, z, args: -reverse_drift(process, denoise, t_max - tau, z, noise_level)[0])
    return diffrax.MultiTerm(drift, BlockNoise(process, t_max, path, noise_level))


class BlockNoise(diffrax.AbstractTerm):
    """The noise of a reverse diffusion: a block of k x k numbers, that acts on each coordinate alike."""

    process: AbstractProcess
    t_max: Scalar
    path: diffrax.AbstractBrownianPath
    noise_level: float

    def vf(self, t: Scalar, y: State, args: Any) -> Block:
        return self.noise_level * self.process.coefficients(self.t_max - t)[1]

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> PyTree[Array]:
        return self.path.evaluate(t0, t1, **kwargs)

    def prod(self, vf: Block, control: State) -> State:
        return block.apply(vf, control)
