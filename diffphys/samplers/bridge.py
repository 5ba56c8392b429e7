"""The bridge: the law of an earlier state given a later one and the data."""

from .. import _block as block
from .._types import Denoiser
from ..processes import AbstractProcess
from .combination import Combination
from .table import AbstractTableSampler, Step


class Bridge(AbstractTableSampler):
    r"""The exact law of $z_s$ given $z_t$ and the data, with the data replaced by its estimate.

    $$ z_s = m_s \otimes \hat a + K (z_t - m_t \otimes \hat a) + C \varepsilon, \qquad
       K = \Sigma_s E^\top \Sigma_t^{-1}, \quad C C^\top = \Sigma_s - K E \Sigma_s, $$

    E the propagator from s to t: the exponential step on the data prediction, for any linear process. For OU it is
    DDPM's ancestral step. Exact, at any step, for a single datum; weak order 1 on a grid uniform in log-SNR.

    Args:
        process: the forward process.
        denoise: `(y, v) -> E[a | y]`.

    Reference:
        Ho, Jain, Abbeel, "Denoising diffusion probabilistic models" (2020), eqs. 6-7.
    """

    process: AbstractProcess
    denoise: Denoiser
    is_time_reversal = True
    draws = 1
    evaluations = 1
    history = 0

    def compose(self, step: Step) -> Combination:
        now, then = step.kernel(step.t), step.kernel(step.s)
        propagator, spread = step.process.transition(step.s, step.t)
        back = block.matmul(block.matmul(then.cov, block.transpose(propagator)), now.precision)
        # Joseph's form of the covariance: a sum of squares.
        kept = block.identity_like(back) - block.matmul(back, propagator)
        noise = block.join(block.matmul(kept, then.factor), block.matmul(back, spread))
        a = step.denoise(step.z, step.t)
        return (then.mean - block.matmul(back, now.mean)) * a + back @ step.z + noise @ step.noise()
