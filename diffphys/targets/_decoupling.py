r"""The Hubbard-Stratonovich integral: spins that all pull on each other become spins in one random field.

$$ e^{\beta M^2 / 2N} = \sqrt{\tfrac{N}{2\pi\beta}} \int e^{-N\varphi^2 / 2\beta + \varphi M}\, d\varphi $$

so that, given the decoupling field $\varphi$, spins in the fields $c_i$ are independent, with means
$\tanh(\varphi + c_i)$. The integral is over a density whose every bump has the width $\sqrt{\beta / N}$, and takes
thousands of nodes for a million spins. But the sum over spins is a smooth function of $\varphi$ on the scale
$\pi / 2$, the distance of its singularities: it is summed at some 50 Chebyshev nodes, whatever the number of spins, and
the integral is taken over its interpolant.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from numpy.polynomial import chebyshev

from .._quadrature import gauss_legendre
from .._types import Scalar

_PRECISION = lax.Precision.HIGHEST
# In units of the width of a bump. Outside nine of them lies 2e-19 of it; ten Gauss nodes on two widths integrate
# it to 1e-15. Panels end at zero, so that each half line is integrated as well as the whole.
_REACH = 9.0
_PANEL = 2.0
_POINTS = 10
# Of the interpolant, relative to the sum over spins.
_LOG_PRECISION = math.log(1e17)
# Factors lie within [exp(-2 reach), 1]; their products stay above exp(-80), a normal number in float32.
_LOG_SMALLEST = 80.0
_LARGEST_REACH = _LOG_SMALLEST / 2
_LARGEST_GROUP = 16
# Below, float32 numbers near one are too coarse to tell the nodes apart, and spins hardly feel each other.
_LEAST_REACH = 1e-3


class Decoupling(eqx.Module):
    r"""The nodes of the integral over the decoupling field, at which sums over spins are taken, and its weights.

    At the nodes $\pm\varphi$ a spin has the weight, relative to the field zero and up to $e^{\varphi}$,

    $$ \frac{\cosh(\varphi + c)}{\cosh c}\, e^{-\varphi} = p + q E, \qquad
       \frac{\cosh(\varphi - c)}{\cosh c}\, e^{-\varphi} = q + p E, \qquad E = e^{-2\varphi}, $$

    with $p, q$ the probabilities of the spin in the field $c$ alone: no transcendental function but one logarithm for
    16 spins. Every $E$ is a float32 number, and what a group of spins has in common is split into a float32 number and
    a rest: an error of rounding common to the spins would be multiplied by their number.

    Attributes:
        ratios: the E of the positive nodes.
        levels: what is taken off the logarithm of each group of spins.
        rests: what then remains to be added to the sum over spins.
        interpolation: from the values at the nodes, positive ones first, to those at the points of the integral.
        log_weights: of the points of the integral, positive ones first.
        dim: the number of spins, `N`.
        group: the number of spins that share a logarithm.
        rows: into which the groups are arranged, for sums in two stages: fewer roundings.
    """

    ratios: Float[Array, " k"]
    levels: Float[Array, " k"]
    rests: Float[Array, " k"]
    interpolation: Float[Array, "points nodes"]
    log_weights: Float[Array, " points"]
    dim: int = eqx.field(static=True)
    group: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)

    def __init__(self, dim: int, beta: float):
        """Tabulates the integral on the host, in float64."""
        width = math.sqrt(beta / dim)
        panels = math.ceil((beta + _REACH * width) / (_PANEL * width))
        reach = panels * _PANEL * width
        if reach > _LARGEST_REACH:
            raise ValueError(
                f"`beta` needs to leave the spins some freedom: beta + 9 sqrt(beta / {dim}) below "
                f"{_LARGEST_REACH:g}. Got {beta:g}. Do use `deltas` for spins that are all equal."
            )
        self.dim = dim
        self.group = 2 ** min(int(math.log2(_LOG_SMALLEST / (2 * reach))), int(math.log2(_LARGEST_GROUP)))
        groups = math.ceil(dim / self.group)
        self.rows = math.ceil(math.sqrt(groups))
        groups = self.rows * math.ceil(groups / self.rows)

        points, weights = gauss_legendre(0.0, reach, points=_POINTS, panels=panels)
        nodes, ratios = _nodes(reach)
        scale = reach * 1.0001
        basis = chebyshev.chebvander(np.concatenate([nodes, -nodes]) / scale, 2 * len(nodes) - 1)
        wanted = chebyshev.chebvander(np.concatenate([points, -points]) / scale, 2 * len(nodes) - 1)
        cost = nodes**2 / (2 * beta) - nodes
        levels = (self.group * cost).astype(np.float32).astype(np.float64)
        padding = groups * self.group - dim
        rests = groups * (levels - self.group * cost) + padding * (cost - np.log1p(ratios) + math.log(2))
        self.ratios, self.levels, self.rests = (jnp.asarray(x, float) for x in (ratios, levels, rests))
        self.interpolation = jnp.asarray(np.linalg.solve(basis.T, wanted.T).T, float)
        log_weights = np.log(weights) - 0.5 * math.log(2 * math.pi * beta / dim)
        self.log_weights = jnp.asarray(np.concatenate([log_weights, log_weights]), float)

    def log_integrand(self, fields: Float[Array, " d"]) -> Float[Array, " points"]:
        r"""Log-weight of each point of the integral over the decoupling field.

        $$ -\frac{N \varphi^2}{2\beta} + \sum_i \log\frac{\cosh(\varphi + c_i)}{\cosh c_i} $$
        """
        values = _potentials(self, fields)
        return self.log_weights + jnp.matmul(self.interpolation, values, precision=_PRECISION)

    def log_partition(self, fields: Float[Array, " d"]) -> Scalar:
        r"""$\log \sum_a e^{\beta M^2 / 2N} \prod_i e^{c_i a_i} / 2\cosh c_i$."""
        return jax.nn.logsumexp(self.log_integrand(fields))

    def means(self, fields: Float[Array, " d"]) -> Float[Array, " d"]:
        r"""Mean of each spin, $E_\varphi \tanh(\varphi + c_i)$."""
        weights = jax.nn.softmax(self.log_integrand(fields))
        at_nodes = jnp.matmul(weights, self.interpolation, precision=_PRECISION)
        return jnp.tanh(fields) + _mean_shifts(self, fields, at_nodes)


def _nodes(reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The positive Chebyshev nodes, moved a little so that the ratio of each is a float32 number; and the ratios."""
    # A function with singularities at height pi / 2 has Chebyshev coefficients that fall by this factor.
    height = math.pi / (2 * reach)
    count = math.ceil(_LOG_PRECISION / math.asinh(height) / 2) + 2
    angles = np.pi * (2 * np.arange(count) + 1) / (4 * count)
    nodes = reach * np.cos(angles)
    ratios = np.exp(-2 * nodes)
    if reach < _LEAST_REACH:
        return nodes, ratios
    ratios = ratios.astype(np.float32).astype(np.float64)
    return -0.5 * np.log(ratios), ratios


def _arranged(decoupling: Decoupling, fields: Float[Array, " d"]) -> Float[Array, "group rows columns"]:
    """The fields in groups; zeros, which `rests` knows of, fill the last ones."""
    block = decoupling.group * decoupling.rows
    padded = jnp.pad(fields, (0, -decoupling.dim % block))
    return padded.reshape(decoupling.group, decoupling.rows, -1)


@eqx.filter_custom_jvp
def _potentials(decoupling: Decoupling, fields: Float[Array, " d"]) -> Float[Array, " nodes"]:
    """The logarithm of the integrand at the nodes: the one sum over the spins."""
    arranged = _arranged(decoupling, fields)
    up, down = jax.nn.sigmoid(2 * arranged), jax.nn.sigmoid(-2 * arranged)

    def total(near, far, ratio, level):
        product = near[0] + far[0] * ratio
        for i in range(1, decoupling.group):
            product = product * (near[i] + far[i] * ratio)
        return jnp.sum(jnp.sum(jnp.log(product) - level, axis=0))

    def both(node):
        return total(up, down, *node), total(down, up, *node)

    plus, minus = lax.map(both, (decoupling.ratios, decoupling.levels))
    return jnp.concatenate([plus + decoupling.rests, minus + decoupling.rests])


@_potentials.def_jvp
def _potentials_jvp(primals, tangents):
    decoupling, fields = primals

    def response(tangent):
        return _potential_shifts(decoupling, fields, tangent)

    # The response is linear, its own derivative; but JAX transposes a scan only if it has differentiated it
    # (jax-ml/jax#6619), and reverse mode transposes this.
    return _potentials(decoupling, fields), jax.jvp(response, (jnp.zeros_like(fields),), (tangents[1],))[1]


def _excess(fields: Float[Array, " d"], ratio: Scalar) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    r"""$\tanh(c \pm \varphi) - \tanh c$, without cancellation."""
    up, down = jax.nn.sigmoid(2 * fields), jax.nn.sigmoid(-2 * fields)
    step = 2 * up * down * (1 - ratio)
    return step / (up + down * ratio), -step / (down + up * ratio)


def _potential_shifts(decoupling, fields, tangent) -> Float[Array, " nodes"]:
    @jax.checkpoint
    def both(ratio):
        plus, minus = _excess(fields, ratio)
        return jnp.sum(plus * tangent), jnp.sum(minus * tangent)

    return jnp.concatenate(lax.map(both, decoupling.ratios))


def _mean_shifts(decoupling, fields, weights) -> Float[Array, " d"]:
    """Sum over the nodes of their weights and of what they add to the mean of each spin."""

    @jax.checkpoint
    def step(total, node):
        ratio, plus_weight, minus_weight = node
        plus, minus = _excess(fields, ratio)
        return total + plus_weight * plus + minus_weight * minus, None

    plus_weights, minus_weights = jnp.split(weights, 2)
    nodes = (decoupling.ratios, plus_weights, minus_weights)
    return lax.scan(step, jnp.zeros_like(fields, dtype=jnp.result_type(fields, weights)), nodes)[0]
