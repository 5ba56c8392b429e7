"""The door of what is computed on the host in float64, and cannot be traced."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


class _TracedError(ValueError):
    """Numbers of a host function are not known while JAX traces."""


def on_host(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """The function, which refuses traced numbers in words: inside, the errors of JAX name arrays of its own.

    Of functions that call each other the outermost is named, which is the one that the caller knows.
    """

    @functools.wraps(function)
    def known(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError, _TracedError) as error:
            raise _TracedError(
                f"`{function.__name__}` needs known numbers: it is computed on the host in float64. Got traced ones. "
                "Do call it outside of `jit`, `vmap` and `grad`, with a denoiser in `jax.numpy` where it takes one. "
                "For a derivative do take differences of its values."
            ) from error

    return known
