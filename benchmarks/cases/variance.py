r"""Variance reduction at equal work: mirrored noise, classes in turn, and what clones can be compared with.

phi is a mean of f = sum_k P(k|y)^2 over forward samples, or of the agreement of clones. A program here makes many
estimates of phi, each of the same number of posteriors or of trajectories; its row says by which factor their variance
differs from that of independent draws. What theory says of two Gaussian classes, delta from the boundary (1 at the
crossing), is worked out in `_variance_theory`:

- Mirrored noise, a + sqrt(v) n with a - sqrt(v) n. f is even around the boundary of equal classes. Where delta is small
  a pair says the same thing twice: a factor up to 2. Where delta is 1 most noise leaves f on one slope, and the halves
  of a pair balance: .16. Far below the crossing f is 1 but for rare noise, whose mirror tells nothing: 1 again. Unequal
  classes sit at different places of f, which mirrors do not balance; but where delta is small f is a line at both, and
  mirrors with classes in proportion leave next to nothing.
- Classes in proportion to their weights instead of at random take away the variance of the mean of f between classes.
  For equal Gaussian classes there is none: exactly 1. Equal shares of unequal classes, weighted, spend half of the work
  on the one that matters less: above 1.
- Two clones agree or do not, with variance phi (1 - phi). The start is answerable for the part that is the variance of
  f, a sixth at the crossing: nothing done to it can gain more, and the control variate, the posterior of the start
  subtracted (`phi_clones_excess`), gains just that. The clones of a pair may not mirror each other, since then they are
  not independent. But each may be followed by its own mirror, A and A' against B and B': near the boundary they end in
  opposite classes, and what is left of the four pairs is nearly the posterior. Four independent clones have six pairs
  already.

Clones run in the one direction that the labels depend on (`dp.reduce`), which is the same law of phi; on a short grid,
which biases phi by .01 and its factors by less than their errors.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

import diffphys as dp

from .._harness import Entrant, Goal, Race, Report, race
from .._real_data import mnist
from ._variance_programs import (
    CROSSWISE,
    EXCESS,
    FOUR,
    MIRRORED,
    MIRRORED_STARTS,
    PAIR,
    PROCESS,
    Clean,
    at_random,
    clone_estimates,
    identity_estimates,
    in_equal_shares,
    in_proportion,
    of_gaussian,
)
from ._variance_theory import TwoClassVariances

_PLAIN = "independent draws"
# Posteriors of an estimate, and trajectories of one: both whole numbers of shares of .8 and .2, of pairs too.
_POSTERIORS, _TRAJECTORIES = 20, 40

Program = Callable[[jax.Array], Float[Array, " n"]]
"""Makes so many estimates of phi, all of the same work."""


class Law(NamedTuple):
    """A target, and its clean points given their class."""

    target: Any
    clean: Clean
    variances: Callable[[float], TwoClassVariances] | None
    """What theory says at a time, where there is one."""


class Factor(NamedTuple):
    """A variance over that of independent draws."""

    value: float
    error: float


def measure(quick: bool, repeats: int) -> Report:
    # One repeat: of interest are the variances, not the times.
    repeats, forward, cloned = min(repeats, 1), *((64, 64) if quick else (8000, 4000))
    races, scores = [], []
    for weight in (0.5, 0.8):
        law = _two_classes(16 if quick else 256, weight)
        crossing = 0.5 * float(np.log(law.target.dim))
        for shift in (0.0,) if quick else (-0.5, 0.0, 0.5):
            words = f"d = {law.target.dim}, weight {weight}, t_S {shift:+g}"
            for compare, number in ((_identity, forward), (_clones, cloned)):
                found, distances = compare(law, words, crossing + shift, number, repeats)
                races.append(found)
                scores += distances
    for words, law, times, number in _real(quick):
        races += [_identity(law, f"{words}, t = {t}", t, number, repeats)[0] for t in times]
    if mnist() is None:
        races.append(race("MNIST 1 and 8", [Entrant(_PLAIN, "ours", None, note="no MNIST: set DIFFPHYS_DATA")], 0))
    return Report(races, [Goal(f"largest |z| of {len(scores)} factors against theory", max(scores), 4)])


def _two_classes(dim: int, weight: float) -> Law:
    """Two Gaussian classes of unit width at the corners +-(1, ..., 1)."""
    target = dp.symmetric_mixture(np.ones(dim, np.float32), weight=weight)

    def variances(t: float) -> TwoClassVariances:
        noise = float(np.expm1(2 * t))
        return TwoClassVariances(weight, (dim / (1 + noise)) ** 0.5, noise / (1 + noise))

    return Law(target, of_gaussian, variances)


def _real(quick: bool) -> list[tuple[str, Law, tuple[float, ...], int]]:
    """Real data around the times at which half of the information on their classes is gone."""
    if quick:
        return [("ten digits, n = 200", _data(dp.load("digits", per_class=20)), (0.25,), 16)]
    digits = dp.load("digits")
    sets: list[Any] = [(f"ten digits, n = {len(digits.points)}", _data(digits), (0.13, 0.25, 0.45), 4000)]
    files = mnist()
    if files is not None:
        loaded = dp.load(files[0], labels=files[1], classes=(1, 8), per_class=500)
        sets.append(("MNIST 1 and 8, n = 1000", _data(loaded), (0.96,), 1500))
    return sets


def _data(loaded: Any) -> Law:
    counts = np.bincount(loaded.labels).astype(np.int32)
    order, firsts = np.argsort(loaded.labels, kind="stable"), np.cumsum(counts, dtype=np.int32) - counts

    def clean(target: Any, key: jax.Array, label: Int[Array, ""]) -> Float[Array, " d"]:
        place = jr.randint(key, (), 0, jnp.asarray(counts)[label])
        return target.cloud.point(jnp.asarray(firsts)[label] + place) + target.offset

    return Law(dp.Empirical(loaded.points[order], loaded.labels[order]), clean, None)


def _identity(law: Law, words: str, t: float, number: int, repeats: int) -> tuple[Race, list[float]]:
    plain, mirrored = np.ones(1, np.float32), np.array([1, -1], np.float32)
    programs = {
        _PLAIN: (at_random, plain),
        "mirrored noise": (at_random, mirrored),
        "classes in proportion": (in_proportion, plain),
        "classes in equal shares": (in_equal_shares, plain),
        "classes in proportion, mirrored noise": (in_proportion, mirrored),
    }
    kernel, weights = PROCESS.kernel(t), np.asarray(law.target.label_weights)

    def made(order: Any, signs: np.ndarray) -> Program:
        def program(key: jax.Array) -> Array:
            classes = order(_rng(key), weights, (number, _POSTERIORS // len(signs)))
            return identity_estimates(law.target, law.clean, kernel, classes, signs, key)

        return program

    theory = {} if law.variances is None else law.variances(t).of_identity()
    every = {name: made(*options) for name, options in programs.items()}
    return _compared(f"{words}, identity", every, theory, number * _POSTERIORS, "posteriors", repeats)


def _clones(law: Law, words: str, t: float, number: int, repeats: int) -> tuple[Race, list[float]]:
    target = dp.reduce(law.target).target
    programs = {
        _PLAIN: (at_random, PAIR),
        "mirrored starts": (at_random, MIRRORED_STARTS),
        "all noise mirrored": (at_random, MIRRORED),
        "classes in proportion": (in_proportion, PAIR),
        "four clones of a start": (at_random, FOUR),
        "each clone and its mirror": (at_random, CROSSWISE),
        "less the posterior of the start": (at_random, EXCESS),
    }
    weights = np.asarray(target.label_weights)

    def made(order: Any, unit: Any) -> Program:
        def program(key: jax.Array) -> Array:
            classes = order(_rng(key), weights, (number, _TRAJECTORIES // len(unit.paths)))
            return clone_estimates(target, t, classes, unit, key)

        return program

    assert law.variances is not None
    every = {name: made(*options) for name, options in programs.items()}
    theory = law.variances(t).of_clones()
    return _compared(f"{words}, clones", every, theory, number * _TRAJECTORIES, "trajectories", repeats)


def _rng(key: jax.Array) -> np.random.Generator:
    """Classes are drawn on the host: they are another stream of numbers."""
    return np.random.default_rng(np.asarray(jr.key_data(key)))


def _compared(
    setting: str,
    programs: dict[str, Program],
    theory: dict[str, float],
    work: float,
    unit: str,
    repeats: int,
) -> tuple[Race, list[float]]:
    """The programs timed, each with its factor; and how far these are from theory, in standard errors."""
    keys = dict(zip(programs, jr.split(jr.key(0), len(programs)), strict=True))
    plain, scores = np.asarray(programs[_PLAIN](keys[_PLAIN]), np.float64), []

    def note(name: str, values: Array) -> str:
        if name == _PLAIN:
            return f"phi = {plain.mean():.4f}"
        found = variance_factor(np.asarray(values, np.float64), plain)
        words = f"variance x {found.value:.3f} +- {found.error:.3f}"
        if name not in theory:
            return words
        scores.append(abs(found.value - theory[name]) / found.error)
        return f"{words}; {theory[name]:.3f} by theory"

    entrants = [
        Entrant(name, "ours", lambda i, name=name: programs[name](jr.fold_in(keys[name], i + 1)),
                note=lambda values, name=name: note(name, values))
        for name in programs
    ]  # fmt: skip
    return race(setting, entrants, repeats, work=work, unit=unit), scores


def variance_factor(values: Float[np.ndarray, " n"], plain: Float[np.ndarray, " n"]) -> Factor:
    """The ratio of two variances of independent draws, with its standard error from their fourth moments."""
    squares = [(found - found.mean()) ** 2 for found in (values, plain)]
    value = squares[0].mean() / squares[1].mean()
    error = np.sqrt(sum(square.var() / (len(square) * square.mean() ** 2) for square in squares))
    return Factor(float(value), float(value * error))
