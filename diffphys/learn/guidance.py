"""Guidance: a denoiser made of two, which leans towards a class."""

import equinox as eqx
import numpy as np

from .. import _block as block
from .._types import Data, Denoiser, Scalar


class ClassifierFreeGuidance(eqx.Module):
    r"""The denoiser of all data, moved towards, or past, that of a class.

    $$ \hat a = \hat a_{all} + w\,(\hat a_{class} - \hat a_{all}) $$

    At every noise level its score is that of $p(y)^{1 - w}\, p(y | class)^w$; for w other than 0 and 1 these laws are
    not those of one clean law under noise, so that what is generated depends on the sampler.

    Args:
        everything: the denoiser without a label.
        chosen: the denoiser of the class.
        weight: w; 0 is the first, 1 the second, above 1 exaggerates the class.

    Raises:
        ValueError: if the weight is not finite. A call refuses estimates of two shapes.

    Reference:
        Ho, Salimans, "Classifier-free diffusion guidance" (2022), eq. 6, where the weight is w - 1.
    """

    everything: Denoiser
    chosen: Denoiser
    weight: Scalar

    def __check_init__(self):
        if block.fails(abs(self.weight) < np.inf):
            raise ValueError(f"`ClassifierFreeGuidance` needs a finite `weight`. Got {self.weight}. 1 is the class.")

    def __call__(self, y: Data, variance: Scalar) -> Data:
        without, within = self.everything(y, variance), self.chosen(y, variance)
        if without.shape != within.shape:
            raise ValueError(
                f"`ClassifierFreeGuidance` needs estimates of one shape. Got {without.shape} of `everything` and "
                f"{within.shape} of `chosen`. Do give denoisers of the same data."
            )
        return without + self.weight * (within - without)
