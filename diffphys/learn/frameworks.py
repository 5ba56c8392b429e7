"""Networks of flax as plain functions of a state and an argument, their weights leaves of a pytree."""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
from flax import linen, nnx
from jaxtyping import Array


class LinenNetwork(eqx.Module):
    """A `flax.linen` module with its variables: made by `linen_network`.

    Attributes:
        apply: the `apply` of the module.
        variables: its variables, such as `{"params": ...}`.
    """

    apply: Callable[..., Any] = eqx.field(static=True)
    variables: Any

    def __call__(self, x: Array, argument: Array) -> Any:
        return self.apply(self.variables, x, argument)


class NNXNetwork(eqx.Module):
    """A `flax.nnx` module, split into its graph and its state: made by `nnx_network`.

    Attributes:
        graph: the module without its arrays.
        state: its arrays.
    """

    graph: Any = eqx.field(static=True)
    state: Any

    def __call__(self, x: Array, argument: Array) -> Any:
        return nnx.merge(self.graph, self.state)(x, argument)


def linen_network(module: linen.Module, variables: Any, **apply_kwargs: Any) -> LinenNetwork:
    """A `flax.linen` network as a function `(x, u) -> output` that is a pytree.

    Args:
        module: the module, whose `__call__` takes x and u.
        variables: what `module.init` gave and training changed, such as `{"params": ...}`.
        apply_kwargs: for its `apply`, such as `train=False`: what puts it into evaluation.
    """
    # A partial is known by its identity: a module with a list among its fields has no hash.
    return LinenNetwork(functools.partial(module.apply, **apply_kwargs), variables)


def nnx_network(module: nnx.Module) -> NNXNetwork:
    """A `flax.nnx` network as a function `(x, u) -> output` that is a pytree, in evaluation: no dropout, fixed norms.

    The module that is given is left as it is, and its later training does not reach the function.

    Args:
        module: the module, whose `__call__` takes x and u.
    """
    copy = nnx.clone(module)
    copy.eval()
    return NNXNetwork(*nnx.split(copy))
