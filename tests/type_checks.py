"""Where the types of arguments are not checked, since what is called has been checked on less of the same."""

import contextlib
from collections.abc import Iterator

import jaxtyping
import numpy as np

from diffphys.samplers import AbstractSampler


@contextlib.contextmanager
def types_unchecked() -> Iterator[None]:
    """As users run. A check of a call on numbers costs more than the call, and quadratures make very many of them."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def plan_of(sampler: AbstractSampler, ts: np.ndarray):
    """The plan of a grid. Of a long one types are checked on its last steps alone, more than any sampler remembers."""
    # Not so of all: a sampler may have been given something for every time of a short grid.
    if len(ts) <= 21:
        return sampler.plan(ts)
    sampler.plan(ts[-7:])
    with types_unchecked():
        return sampler.plan(ts)
