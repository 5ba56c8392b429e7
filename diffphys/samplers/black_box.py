"""Samplers handed to diffrax: any of its solvers and step size controllers, on the flow and the reverse diffusions."""

from typing import Any

import diffrax
import numpy as np
from jaxtyping import Array, PyTree

from .. import _block as block
from .._types import Block, Denoiser, Scalar, State
from ..processes import AbstractProcess
from ._drift import reverse_drift


def flow_term(process: AbstractProcess, denoise: Denoiser) -> diffrax.ODETerm:
    r"""The probability flow $\dot z = F z - \tfrac12 G G^\top \nabla\log p_t(z)$ as a term of diffrax.

    In diffusion time, either way: down to sample, `t0 > t1`, and up to encode. One evaluation each time that the
    solver asks for the velocity.

    ```python
    import diffrax

    solution = diffrax.diffeqsolve(
        flow_term(process, denoise),
        diffrax.Tsit5(),
        t0=t_max,
        t1=t_min,
        dt0=None,
        y0=z,
        stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
    )
    solution.ys[-1], solution.stats["num_steps"]
    ```

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Song et al., "Score-based generative modeling through stochastic differential equations" (2021), eq. 13;
        Kidger, "On neural differential equations" (2021), for diffrax.
    """
    return diffrax.ODETerm(lambda t, z, args: reverse_drift(process, denoise, t, z)[0])


def reverse_terms(
    process: AbstractProcess,
    denoise: Denoiser,
    t_max: Scalar,
    path: diffrax.AbstractBrownianPath,
    noise_level: float = 1.0,
) -> diffrax.MultiTerm:
    r"""The reverse diffusion at a noise level $\lambda$ as terms of diffrax, in the clock $\tau = t_{max} - t$.

    $$ dz = \big[-F z + \tfrac{1 + \lambda^2}{2} G G^\top \nabla\log p_t\big]\,d\tau + \lambda\,G\,dW_\tau,
       \qquad t = t_{max} - \tau. $$

    Time runs up, from 0 to `t_max - t_min`, since diffrax 0.7 run down has the wrong sign of Levy areas: its solvers
    of higher order then lose to Euler's, without an error. The noise is additive, so Ito and Stratonovich solvers
    agree, and those for additive noise (`diffrax.ShARK`) apply.

    ```python
    import diffrax

    path = diffrax.VirtualBrownianTree(0.0, t_max - t_min, 1e-3, z.shape, key, diffrax.SpaceTimeLevyArea)
    solution = diffrax.diffeqsolve(
        reverse_terms(process, denoise, t_max, path),
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
        t_max: the diffusion time at which it starts.
        path: Brownian motion of the shape of the state.
        noise_level: $\lambda > 0$; 1 is Anderson's reverse diffusion, the one that reverses paths.

    Raises:
        ValueError: unless `noise_level` is positive and finite.

    Reference:
        Anderson, "Reverse-time diffusion equation models" (1982); see `ReverseSDE`.
    """
    if not 0 < noise_level < np.inf:
        raise ValueError(
            f"`reverse_terms` needs a finite `noise_level > 0`. Got {noise_level}. Do take `flow_term` for none."
        )
    drift = diffrax.ODETerm(lambda tau, z, args: -reverse_drift(process, denoise, t_max - tau, z, noise_level)[0])
    return diffrax.MultiTerm(drift, BlockNoise(process, t_max, path, noise_level))


class BlockNoise(diffrax.AbstractTerm):
    """The noise of `reverse_terms`: a block of k x k numbers, that acts on each coordinate alike."""

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
