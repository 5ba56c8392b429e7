"""What clones say when they stop: their classes, and the data nearest to them."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Data, Denoiser, Scalar
from ..samplers import AbstractSampler
from ..targets import AbstractDataSet, AbstractLabelledTarget, AbstractTarget, shape_of

Classifier = Callable[[Data, Scalar], Float[Array, " k"]]
"""`classify(a, v)`: log-probabilities of the classes of an estimate `a`, made at noise variance v."""


# A copy is nearer to one datum than to any other by this factor, as in `memorisation`; of the noise of the ends, what
# tells the two nearest data apart.
_COPY, _SHARP = 1 / 3, 1e-4


class LabelAgreement(eqx.Module):
    r"""What clones say of their classes: $\sum_k P(k|z_A) P(k|z_B)$ over all pairs, latent and by hard labels."""

    log_posterior: Callable[[Array, Scalar], Float[Array, " k"]]

    def __call__(self, ys: Float[Array, "c d"], variance: Scalar) -> dict[str, Array]:
        posteriors = jnp.exp(jax.vmap(self.log_posterior, in_axes=(0, None))(ys, variance))
        hard = jax.nn.one_hot(jnp.argmax(posteriors, axis=1), posteriors.shape[1], dtype=posteriors.dtype)
        return {
            "phi": _pair_agreement(posteriors),
            "phi_hard": _pair_agreement(hard),
            "label_weight": jnp.mean(posteriors, axis=0),
            "label_weight_hard": jnp.mean(hard, axis=0),
        }


class ExpectedLabelAgreement(eqx.Module):
    r"""The agreement of clones given the point they leave, $\sum_k P(k|z)^2$: two independent draws of its label."""

    log_posterior: Callable[[Array, Scalar], Float[Array, " k"]]

    def __call__(self, y: Data, variance: Scalar) -> dict[str, Array]:
        return {"phi": jnp.sum(jnp.exp(2 * self.log_posterior(y, variance)))}


def _pair_agreement(rows: Float[Array, "c k"]) -> Float[Array, ""]:
    """The mean inner product of two different rows."""
    count = rows.shape[0]
    return (jnp.sum(jnp.sum(rows, axis=0) ** 2) - jnp.sum(rows**2)) / (count * (count - 1))


class Classified(eqx.Module):
    """The classes that a classifier sees in what a denoiser makes of a noisy observation."""

    denoise: Denoiser
    classify: Classifier

    def __call__(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        return jax.nn.log_softmax(self.classify(self.denoise(y, variance), variance))


def label_reading(
    target: AbstractLabelledTarget, denoise: Denoiser, classify: Classifier | None
) -> Callable[[Data, Scalar], Float[Array, " k"]]:
    """How an end is given its label: by the posterior of the target, or by a classifier of the denoised end.

    Raises:
        ValueError: if the classifier has not one number a label of the target.
    """
    if classify is None:
        return target.label_log_posterior
    reading = Classified(denoise, classify)
    one = shape_of(target)
    found = eqx.filter_eval_shape(classify, one, jax.ShapeDtypeStruct((), one.dtype))
    if getattr(found, "shape", None) != (target.num_labels,):
        raise ValueError(
            f"`classify` needs log-probabilities of the {target.num_labels} labels of the target, of shape "
            f"({target.num_labels},). Got {getattr(found, 'shape', type(found).__name__)}. It is called as "
            "`classify(a, v)` on one estimate; batches are made by `jax.vmap`."
        )
    return reading


def labelled_by(classify: Classifier | None) -> str:
    """What gives the ends their labels, in a word."""
    return "posterior" if classify is None else "classifier"


def has_exact_score(sampler: AbstractSampler, target: AbstractTarget) -> bool:
    """Whether a sampler moves by the target's own posterior mean, so that the identities are its exact answers."""
    return bool(eqx.tree_equal(sampler.denoise, target.posterior_mean))


class DatumAgreement(eqx.Module):
    r"""What clones say of the data: $\sum_\mu w_\mu(A)\, w_\mu(B)$ over all pairs, and whether their nearest agree.

    By the exact score an end is a datum and some noise, and the nearest datum is the most likely one. The end of a
    learned score may be near no datum, and still has the noise of the time at which clones stop: the `denoise` that is
    given for such a score removes it first. Even then some datum is the nearest, and clones that part late have it in
    common; so `copied` tells how many ends are copies, three times nearer to one datum than to any other.
    """

    target: AbstractDataSet
    denoise: Denoiser | None = None

    def __call__(self, ys: Float[Array, "c d"], variance: Scalar) -> dict[str, Array]:
        first, second = np.triu_indices(ys.shape[0], 1)
        overlap = jax.vmap(self.target.overlap, in_axes=(0, 0, None))(ys[first], ys[second], variance)
        ends = ys if self.denoise is None else jax.vmap(self.denoise, in_axes=(0, None))(ys, variance)
        nearest = jax.vmap(lambda a: self.target.weights_summary(a, variance, with_labels=False).argmax)(ends)
        same = (nearest[first] == nearest[second]).astype(ys.dtype)
        agreement = {"phi_c": jnp.mean(overlap), "phi_c_hard": jnp.mean(same)}
        if self.denoise is None:
            return agreement
        copies = jax.vmap(self._is_copy, in_axes=(0, 0, None))(ends, nearest, variance)
        return agreement | {"copied": jnp.mean(copies.astype(ys.dtype))}

    def _is_copy(self, a: Data, nearest: Array, variance: Scalar) -> Array:
        # With next to no noise the mean is the nearest datum, and L the difference of the two least squares over it.
        sharp = _SHARP * variance
        summary = self.target.weights_summary(a, sharp, nearest, with_mean=True, with_labels=False)
        assert summary.mean is not None, "it was asked for"
        assert summary.log_rest_over_own is not None, "so was it"
        apart = -2 * sharp * summary.log_rest_over_own
        return jnp.greater(apart, (_COPY**-2 - 1) * jnp.sum((a - summary.mean) ** 2))


class ExpectedDatumAgreement(eqx.Module):
    r"""The probability that both clones of a point end at one datum, $\sum_\mu w_\mu^2$."""

    target: AbstractDataSet

    def __call__(self, y: Data, variance: Scalar) -> dict[str, Array]:
        return {"phi_c": self.target.weights_summary(y, variance, with_labels=False).participation}


def datum_agreement(data: AbstractDataSet, sampler: AbstractSampler) -> DatumAgreement:
    """The data that clones of this sampler are near."""
    return DatumAgreement(data, None if has_exact_score(sampler, data) else sampler.denoise)
