"""A target seen through a process: the exact law of the noisy state at every time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from ._keys import check_key
from ._types import Data, PRNGKey, Scalar, State
from .processes import AbstractProcess, Kernel
from .targets import AbstractLabelledTarget, AbstractTarget
from .targets._arrays import floating


class Diffused(eqx.Module):
    r"""The path of laws $p_t(z) = \int p_0(a)\, p(z_t = z \mid a)\, da$.

    Each question is of one state, of shape (d,), or (k, d) in phase space; `jax.vmap` asks it of many. A state of
    another shape is refused, and a time that is not one number of the process.

    Args:
        target: the law of the clean data.
        process: how they are noised.
    """

    target: AbstractTarget
    process: AbstractProcess

    def sample(self, key: PRNGKey, t: Scalar) -> State:
        """Draws `z_t`: a clean point, then its noise."""
        check_key(key)
        data_key, noise_key = jr.split(key)
        return self.process.kernel(t).sample(noise_key, self.target.sample(data_key))

    def log_prob(self, t: Scalar, z: State) -> Scalar:
        """The log-density of the state, in nats over all its coordinates."""
        kernel, z = self._seen(t, z)
        return self.target.log_evidence(*kernel.observe(z)) + kernel.log_base_measure(z)

    def posterior_mean(self, t: Scalar, z: State) -> Data:
        """$E[a | z_t = z]$: the magnetisation in the field that `z` exerts."""
        kernel, z = self._seen(t, z)
        return self.target.posterior_mean(*kernel.observe(z))

    def score(self, t: Scalar, z: State) -> State:
        r"""$\nabla_z \log p_t(z)$."""
        kernel, z = self._seen(t, z)
        return kernel.score(z, self.target.posterior_mean(*kernel.observe(z)))

    def label_log_posterior(self, t: Scalar, z: State) -> Float[Array, " labels"]:
        r"""$\log P(k \mid z_t = z)$ for each label of a labelled target."""
        if not isinstance(self.target, AbstractLabelledTarget):
            raise ValueError(
                f"`Diffused.label_log_posterior` needs a target with labels. Got `{type(self.target).__name__}`."
            )
        kernel, z = self._seen(t, z)
        return self.target.label_log_posterior(*kernel.observe(z))

    def _seen(self, t: Scalar, z: State) -> tuple[Kernel, State]:
        """The law of the state given the data, and the state, in floating point.

        Raises:
            ValueError: if `t` is not one time, `z` not one state of the process, of data of the target, or known `t`
                too early or too late for its type.
        """
        if np.shape(t):
            raise ValueError(
                f"`Diffused` needs one time `t`, and then the state. Got a time of shape {np.shape(t)}. "
                "Do swap them, or map over many times with `jax.vmap`."
            )
        kernel, z = self.process.kernel(t), floating(z)
        shape = (*np.shape(kernel.mean), self.target.dim)
        if z.shape != shape:
            raise ValueError(
                f"`z` needs one state of `{type(self.process).__name__}`, of shape {shape}. Got {z.shape}. "
                "Map over many with `jax.vmap`."
            )
        limits = jnp.finfo(z.dtype)
        if not (isinstance(kernel.variance, jax.Array) or limits.tiny <= kernel.variance <= limits.max):
            raise ValueError(
                f"`t` needs a time whose noise variance {z.dtype} can hold. Got {t}, of {kernel.variance:.3g}. "
                "Do take one at which the state tells of the data."
            )
        return kernel, z
