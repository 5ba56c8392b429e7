"""What is held constant over a step: the data, the noise, or the residual of a preconditioned network."""

import abc
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .. import _block as block
from ..processes import AbstractProcess, Kernel

Matrix = Float[np.ndarray, "*n k k"]
Weights = Float[np.ndarray, "*n k j"]


class AbstractParameterisation(eqx.Module):
    r"""What a network predicts of a state: f, with $\nabla \log p_t(z) = C_{skip}\,z + C_{out}\,f$.

    It is stated for the whitened state $\zeta = L^{-1} z$, L the triangular factor of the kernel, where the score
    is $q \otimes D - \zeta$, $q = L^{-1} m$, of the denoiser D, and $|q|^2 = 1 / v$. So two functions of q say it all,

    $$ C_{skip} = L^{-\top} c_{skip}(q)\,L^{-1}, \qquad C_{out} = L^{-\top} c_{out}(q), $$

    for any process. f has as many rows as $c_{out}$ has columns: k, or one where it is of the shape of the data.
    """

    rotates: eqx.AbstractVar[bool]
    r"""Whether f is told in the axes of the square root R of the covariance that the flow carries, not in those of L.

    $\dot R = (F + \tfrac12 G G^\top \Sigma^{-1}) R$ is $R = L O$ with a rotation O, which multiplies $c_{out}$.
    """

    @abc.abstractmethod
    def whitened(self, lift: Float[np.ndarray, "*n k"]) -> tuple[Matrix, Weights]:
        """The coefficients $c_{skip}$ and $c_{out}$ at whitened lifts q."""

    def coefficients(self, process: AbstractProcess, t: float) -> tuple[Any, Any]:
        """$C_{skip}$ and $C_{out}$ at `t`, on the host; of R, the one that is L at `t`."""
        kernel = process.on_host().kernel(t)
        whiten, lift = whitening(kernel)
        skip, out = self.whitened(lift)
        skip, out = whiten.T @ skip @ whiten, whiten.T @ out
        return (skip, out) if np.ndim(kernel.mean) else (skip[0, 0], out[0, 0])


class NoisePrediction(AbstractParameterisation):
    r"""The noise: $C_{skip} = 0$, and f is $L^{-1} (z - m \otimes D)$ or $R^{-1} (z - m \otimes D)$.

    They are the same for scalars, and their step is DDIM. For blocks R is far better: along the flow of a single
    datum its noise is constant. A network of the noise of L needs no retraining: it is a rotation of it.

    Args:
        rotates: whether to take R, as gDDIM does, rather than the triangular L.

    Reference:
        Song, Meng, Ermon, "Denoising diffusion implicit models" (2021); Zhang, Tao, Chen, "gDDIM" (2023).
    """

    rotates: bool = eqx.field(static=True, default=True)

    def whitened(self, lift: Float[np.ndarray, "*n k"]) -> tuple[Matrix, Weights]:
        k = lift.shape[-1]
        return np.zeros((*lift.shape, k)), np.broadcast_to(-np.eye(k), (*lift.shape, k))


class DataPrediction(AbstractParameterisation):
    r"""The data: $C_{skip} = -\Sigma^{-1}$, $C_{out} = \Sigma^{-1} m$, and f is D itself.

    Its step is $z_s = m_s D + R_s R_t^{-1} (z_t - m_t D)$: that of `NoisePrediction()`, until past steps are used.
    """

    rotates: bool = eqx.field(static=True, init=False, default=False)

    def whitened(self, lift: Float[np.ndarray, "*n k"]) -> tuple[Matrix, Weights]:
        k = lift.shape[-1]
        return np.broadcast_to(-np.eye(k), (*lift.shape, k)), lift[..., None]


class ResidualPrediction(AbstractParameterisation):
    r"""What the best guess for Gaussian data leaves: $C_{skip} = -P^{-1}$, $P = \Sigma + m m^\top v_a$.

    $$ D(y, v) = \frac{v_a}{v_a + v}\,y + \sqrt{\frac{v_a v}{v_a + v}}\,f(y, v), $$

    so f is the raw network of EDM at $\sigma_{data}^2 = v_a$, and minus the velocity at $v_a = 1$: $\mu\epsilon -
    \sigma a$ over $\sqrt{\mu^2 + \sigma^2}$. It is 0 for Gaussian data of that variance, for which any step is exact.

    Args:
        variance: $v_a > 0$, the variance of a coordinate of the data.

    Raises:
        ValueError: if it is not positive.

    Reference:
        Karras et al., "Elucidating the design space of diffusion-based generative models" (2022), table 1;
        Salimans, Ho, "Progressive distillation" (2022), appendix D.
    """

    variance: float = eqx.field(static=True)
    rotates: bool = eqx.field(static=True, init=False, default=False)

    def __check_init__(self):
        if not 0 < self.variance < np.inf:
            raise ValueError(f"`ResidualPrediction` needs a finite `variance > 0`. Got {self.variance}.")

    def whitened(self, lift: Float[np.ndarray, "*n k"]) -> tuple[Matrix, Weights]:
        # The root of I - L' P^-1 L, which has rank one: only the channel sees the data.
        out = lift * np.sqrt(self.variance / (1 + self.variance * np.sum(lift**2, axis=-1, keepdims=True)))
        return out[..., :, None] * out[..., None, :] - np.eye(lift.shape[-1]), out[..., None]


def whitening(kernel: Kernel) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, " k"]]:
    """The inverse factor of a kernel and its whitened lift q, scalars as blocks of one."""
    whiten = np.atleast_2d(block.inverse_lower(kernel.factor))
    return whiten, whiten @ np.atleast_1d(kernel.mean)


def prediction(
    kernel: Kernel, parameterisation: AbstractParameterisation
) -> tuple[Float[np.ndarray, "j k"], Float[np.ndarray, " j"]]:
    r"""M and w with $f = M z + w \otimes D$, in the axes of L; scalars as blocks of one."""
    whiten, lift = whitening(kernel)
    skip, out = parameterisation.whitened(lift)
    # The score less its part in z lies in the range of c_out: a projection loses nothing.
    project = np.linalg.pinv(out)
    return -project @ (np.eye(len(lift)) + skip) @ whiten, project @ lift
