"""What a sampler is to this benchmark: a name, a family, and a walk down a grid that counts its evaluations."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import numpy as np

from ._grids import LEVELS
from ._problems import Problem

Family = Literal["overdamped", "phase space", "phase-space conjugate"]


class Outcome(NamedTuple):
    """Where the trajectories end, denoised, and after how many evaluations."""

    ends: np.ndarray
    evaluations: int


class Walk(Protocol):
    """Runs all trajectories of a problem down a grid with at most `budget` evaluations; None if too few for it."""

    def __call__(self, grid: str, budget: int) -> Outcome | None: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One sampler.

    Args:
        name: what it is called in the table.
        owner: whose it is: "diffphys" or the package of a peer.
        walk: makes its walk on a problem; None if it cannot be run here, as `note` then says.
        family: on what process.
        noisy: whether it draws noise, so that there is no flow to compare it with.
        nonlinear: whether its steps are so even with a linear denoiser, so that it has no exact moments.
        grids: those it is run on; the best is reported.
        note: what else a reader should know.
    """

    name: str
    owner: str
    walk: Callable[[Problem], Walk] | None
    family: Family = "overdamped"
    noisy: bool = False
    nonlinear: bool = False
    grids: tuple[str, ...] = tuple(LEVELS)
    note: str = ""

    @property
    def ours(self) -> bool:
        return self.owner == "diffphys"
