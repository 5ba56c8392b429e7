"""A target seen through a process: the exact law of the noisy state at every time."""

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float

from ._types import Data, PRNGKey, Scalar, State
from .processes import AbstractProcess
from .targets import AbstractLabelledTarget, AbstractTarget


class Diffused(eqx.Module):
    r"""The path of laws $p_t(z) = \int p_0(a)\, p(z_t = z \mid a)\, da$."""

    target: AbstractTarget
    process: AbstractProcess

    def sample(self, key: PRNGKey, t: Scalar) -> State:
        """Draws `z_t`: a clean point, then its noise."""
        data_key, noise_key = jr.split(key)
        return self.process.kernel(t).sample(noise_key, self.target.sample(data_key))

    def log_prob(self, t: Scalar, z: State) -> Scalar:
        """The log-density of the state, in nats over all its coordinates."""
        kernel = self.process.kernel(t)
        return self.target.log_evidence(*kernel.observe(z)) + kernel.log_base_measure(z)

    def posterior_mean(self, t: Scalar, z: State) -> Data:
        """$E[a | z_t = z]$: the magnetisation in the field that `z` exerts."""
        return self.target.posterior_mean(*self.process.kernel(t).observe(z))

    def score(self, t: Scalar, z: State) -> State:
        r"""$\nabla_z \log p_t(z)$."""
        return self.process.kernel(t).score(z, self.posterior_mean(t, z))

    def label_log_posterior(self, t: Scalar, z: State) -> Float[Array, " labels"]:
        r"""$\log P(k \mid z_t = z)$ for each label of a labelled target."""
        if not isinstance(self.target, AbstractLabelledTarget):
            raise ValueError(
                f"`Diffused.label_log_posterior` needs a target with labels. Got `{type(self.target).__name__}`."
            )
        return self.target.label_log_posterior(*self.process.kernel(t).observe(z))
