"""Linear combinations of what a step of a sampler has at hand, with coefficients known on the host."""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from .. import _block as block
from .._types import Block, Data, Lift, State

Term: TypeAlias = tuple[str, int]
"""What is combined: ("state", 0), ("data", stage), ("noise", draw) or ("past", how many predictions ago or slot)."""

Terms: TypeAlias = dict[Term, Any]
"""A coefficient for each term: a block or a lift; in a table, those of all steps on a leading axis."""


class Combination:
    r"""A state written as $P z + \sum_i q_i \otimes \hat a_i + \sum_j R_j \varepsilon_j + \sum_k S_k f_k$.

    A step of nearly every sampler is one, in the state z it starts from, the estimates $\hat a_i$ of the data that it
    asks for, its noises and the predictions $f_k$ remembered from earlier steps. Combinations add, and scale by
    numbers; `block @ combination` maps the variables of the state. So a step is written as in its paper, its
    coefficients worked out in float64 on the host, and only their sums reach the device.

    Attributes:
        terms: the coefficients.
    """

    # NumPy arrays leave `array * combination` and `array @ combination` to us.
    __array_ufunc__ = None

    def __init__(self, terms: Terms):
        self.terms = terms

    def __add__(self, other: "Combination") -> "Combination":
        terms = dict(self.terms)
        for term, coefficient in other.terms.items():
            terms[term] = terms[term] + coefficient if term in terms else coefficient
        return Combination(terms)

    def __sub__(self, other: "Combination") -> "Combination":
        return self + (-1.0) * other

    def __mul__(self, number: Any) -> "Combination":
        return Combination({term: number * coefficient for term, coefficient in self.terms.items()})

    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> "Combination":
        return self * (1 / number)

    def __rmatmul__(self, a: Block) -> "Combination":
        return Combination({term: block.matmul(a, coefficient) for term, coefficient in self.terms.items()})

    def project(self, weights: Lift) -> Terms:
        """The coefficients of the data-shaped `sum_i w_i z_i`: numbers for estimates, lifts for the rest."""
        w = block.transpose(weights)
        return {term: block.matmul(w, coefficient) for term, coefficient in self.terms.items()}


class Estimate:
    """The denoiser's answer at one stage of a step; `lift * estimate` places it in a state."""

    __array_ufunc__ = None

    def __init__(self, stage: int):
        self.stage = stage

    def __rmul__(self, lift: Lift) -> Combination:
        return Combination({("data", self.stage): lift})


def combine_states(terms: Terms, operands: Mapping[str, Sequence]) -> State:
    """The state that coefficients and operands make, on the device."""
    return _total(
        block.lift(coefficient, operands[kind][i]) if kind == "data" else block.apply(coefficient, operands[kind][i])
        for (kind, i), coefficient in sorted(terms.items())
    )


def combine_channels(terms: Terms, operands: Mapping[str, Sequence]) -> Data:
    """The observation that projected coefficients and operands make, on the device."""
    return _total(
        coefficient * operands[kind][i] if kind == "data" else block.project(coefficient, operands[kind][i])
        for (kind, i), coefficient in sorted(terms.items())
    )


def _total(parts: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, parts)
