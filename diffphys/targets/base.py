"""What a target must provide: one function, its log-evidence; and its labels, where it has some."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Data, PRNGKey, Scalar
from ._arrays import observation

Hierarchy = tuple[tuple[int, ...], ...]


class AbstractTarget(eqx.Module):
    r"""A distribution $p_0$ on $\mathbb{R}^d$ whose Gaussian smoothing is known exactly.

    Everything that is asked of a target follows from the log-partition function of the posterior Gibbs
    measure

    $$ \rho(a \mid y) \propto p_0(a) \exp\!\big(-|y - a|^2 / 2v\big), $$

    that is, from `log_evidence`: its gradient gives the denoiser (the magnetisation), its Hessian the
    posterior covariance, at any noise level and for any linear process. A target knows nothing of time or of
    processes.

    `posterior_mean` and `posterior_covariance` are defaults, by differentiation; a target that has a closed
    form gives it.

    Attributes:
        dim: the dimension `d`.
    """

    dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def sample(self, key: PRNGKey) -> Data:
        """Draws one clean configuration `a`; ValueError for anything but one typed key."""

    @abc.abstractmethod
    def log_evidence(self, y: Data, variance: Scalar) -> Scalar:
        r"""Log-density of a noisy observation, $y = a + \sqrt{v}\,\varepsilon$ with $a \sim p_0$.

        $$ \log \int p_0(a)\, \mathcal{N}(y;\, a,\, v I)\, da = -\tilde F / v - \tfrac{d}{2} \log 2 \pi v $$

        with $\tilde F$ the free energy of the clean configurations at temperature $v$ in the field $y$.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The log-density in nats, summed over the `d` coordinates.

        Raises:
            ValueError: if `y` is not one observation of `dim` coordinates, or `variance` a number of Python or NumPy
                that is not positive and finite; on a device it is not looked at, and gives nan.

        Reference:
            Ambrogioni, "The statistical thermodynamics of generative diffusion models" (2023), eq. 8; there
            in units of sigma^2 t, here in variance.
        """

    def posterior_mean(self, y: Data, variance: Scalar) -> Data:
        r"""Mean of the clean configurations that explain `y` (Tweedie's formula): the exact denoiser.

        $$ E[a \mid y] = y + v\, \nabla_y \log p(y) $$

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The posterior mean, in the units of the data.

        Raises:
            ValueError: as `log_evidence`.
        """
        y, variance = observation(self.dim, y, variance)
        return y + variance * jax.grad(self.log_evidence)(y, variance)

    def posterior_covariance(self, y: Data, variance: Scalar) -> Float[Array, "d d"]:
        r"""Covariance of the clean configurations that explain `y`.

        $$ \mathrm{Cov}[a \mid y] = v I + v^2\, \nabla_y^2 \log p(y) $$

        `J = Cov / v` is the stability matrix, the Jacobian of the posterior mean.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The covariance, in the units of the data squared.

        Raises:
            ValueError: as `log_evidence`.
        """
        y, variance = observation(self.dim, y, variance)
        hessian = jax.hessian(self.log_evidence)(y, variance)
        return variance * jnp.eye(self.dim, dtype=y.dtype) + variance**2 * hessian


def shape_of(target: AbstractTarget) -> jax.ShapeDtypeStruct:
    """The shape and dtype of a draw of a target; none is made."""
    return jax.eval_shape(target.sample, jax.eval_shape(jax.random.key, 0))


class AbstractLabelledTarget(AbstractTarget):
    """A target whose draws carry a hidden label: a class, a component of a mixture, a phase.

    Attributes:
        num_labels: the number of labels, `k`.
        label_weights: the prior probability of each label; they sum to one.
    """

    num_labels: eqx.AbstractVar[int]
    label_weights: eqx.AbstractVar[Float[Array, " k"]]

    @property
    def hierarchy(self) -> Hierarchy:
        """For each level of a tree over the labels, coarse to fine, the node of each label; by default none."""
        return ()

    @abc.abstractmethod
    def sample_labelled(self, key: PRNGKey) -> tuple[Data, Int[Array, ""]]:
        """Draws one clean configuration with its label; ValueError for anything but one typed key."""

    @abc.abstractmethod
    def label_log_posterior(self, y: Data, variance: Scalar) -> Float[Array, " k"]:
        r"""Log-probability of each label given a noisy observation, $\log P(k \mid y)$, normalised.

        Args:
            y: the noisy observation, in the units of the data.
            variance: the noise variance, v > 0, in the units of the data squared.

        Returns:
            The log-probabilities, in nats.

        Raises:
            ValueError: as `log_evidence`.
        """

    def sample(self, key: PRNGKey) -> Data:
        return self.sample_labelled(key)[0]

    def label(self, y: Data, variance: Scalar) -> Int[Array, ""]:
        """The most likely label of a noisy observation."""
        return jnp.argmax(self.label_log_posterior(y, variance))
