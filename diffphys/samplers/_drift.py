"""The drift of the reverse diffusions, on the device: for solvers that choose their own times."""

from .. import _block as block
from .._types import Block, Denoiser, Scalar, State
from ..processes import AbstractProcess


def reverse_drift(
    process: AbstractProcess, denoise: Denoiser, t: Scalar, z: State, noise_level: float = 0.0
) -> tuple[State, Block]:
    r"""$F z - \tfrac{1 + \lambda^2}{2} G G^\top \nabla\log p_t(z)$ at a noise level $\lambda$; and G.

    At $\lambda = 0$ it is the velocity of the probability flow, at 1 the drift of Anderson's reverse diffusion: both
    by $dt$, that is for time which runs up.
    """
    drift, noise = process.coefficients(t)
    kernel = process.kernel(t)
    score = kernel.score(z, denoise(*kernel.observe(z)))
    force = 0.5 * (1 + noise_level**2) * block.outer(noise)
    return block.apply(drift, z) - block.apply(force, score), noise
