"""The three regimes of learning a Gaussian law from data: rank, spectrum, eigenvectors."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from tqdm.auto import tqdm

from .. import thermo
from .._devices import hides_bar
from .._types import PRNGKey
from ..clocks import log_snr_grid
from ..results import dataset
from ..thermo.linear_scores import Estimator, SecondMoments
from ._assemble import check_count, seed_of, split_key
from ._statistics import mean_and_stderr

ESTIMATORS: tuple[Estimator, ...] = (thermo.averaged, thermo.unconstrained, thermo.symmetric, thermo.commuting)


def gaussian_regimes(
    spectrum: Float[np.ndarray, " N"] | Sequence[float],
    *,
    key: PRNGKey,
    counts: Sequence[int] | None = None,
    draws: int = 8,
    estimators: Sequence[Estimator] = ESTIMATORS,
    score_time: float = 0.5,
    t_max: float = 6.0,
    t_min: float = 0.01,
    steps: int = 400,
    temperature: float = 1.0,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""What a diffusion model with a linear score, learned from P data in N dimensions, generates.

    For $P \ll N$ the generated covariance has rank P and a wrong spectrum; for $N \ll P \ll N^2$ the spectrum is right
    ($W_2^2 / N \to 0$) but the eigenvectors are mixed and the laws are told apart (TV to 1); for $P \gg N^2$ TV goes
    to 0.

    The score averaged over noises generates $\hat C$ in closed form, and all distances are exact for each draw of the
    data. Estimators that see one noise a datum, the same at all times, generate what the equation of the covariance
    gives.

    Args:
        spectrum: the eigenvalues of the true covariance, (N,), > 0.
        key: a typed key, of the data.
        counts: the numbers P of data; by default 15 from N / 8 to 8 N^2.
        draws: data sets for each P.
        estimators: how W is estimated, functions as those of `thermo`; at P <= N only `averaged` has a value.
        score_time: the time t at which the error of W is measured.
        t_max: where the reverse diffusion starts, from N(0, T): e^{2 t_max} well above the eigenvalues over T, for the
            theory is that of a start without error.
        t_min: where it ends in the comparison of estimators, as the error of those with one noise diverges at 0; what
            they generate has the noise of that time too.
        steps: steps of the equation of the covariance, on a grid uniform in log-SNR.
        temperature: T of the Ornstein-Uhlenbeck bath.
        progress: whether to show a bar; by default on a terminal.

    Returns:
        A dataset on `count` (P). With `_stderr` over draws: `wasserstein` and `spectral_distance` (both squared, a
        coordinate: the second is what the eigenvalues alone contribute), `kullback_leibler`, `total_variation` of the
        generated law and the true one, `participation` of the middle third of eigenvectors; each with its `_theory`.
        On (`estimator`, `count`): `score_error` $\|W - W_{true}\|_F^2$ at `score_time`, with `score_error_theory` of
        `unconstrained`; `wasserstein_estimator`, squared, a coordinate, and `trace_ratio`, tr C / tr C-hat, of the
        covariances generated at `t_min`; nan where P is too small. On (`count`, `mode`): mean sorted `eigenvalues` and
        `eigenvalues_theory`. The attributes give the ends of the regimes, N and N^2.

    Raises:
        ValueError: for eigenvalues, counts or times that mean nothing.

    Reference:
        Biroli and Mezard, "Generative diffusion in very large dimensions" (2023).
    """
    values = np.sort(np.asarray(spectrum, np.float64))
    if values.ndim != 1 or len(values) < 2 or not (values > 0).all():
        raise ValueError(
            f"`spectrum` needs two eigenvalues or more, all > 0, of shape (N,). Got {values.size} of "
            f"shape {values.shape}, the least {values.min(initial=np.inf):g}."
        )
    dim = len(values)
    if counts is None:
        counts = np.unique(np.geomspace(max(2, dim / 8), 8 * dim**2, 15).round().astype(int)).tolist()
    sizes = np.asarray(counts, int)
    if sizes.ndim != 1 or not (sizes >= 1).all() or not (np.diff(sizes) > 0).all():
        raise ValueError(f"`counts` needs increasing numbers of data, at least 1. Got {counts!r}. Sort them.")
    check_count("draws", draws, 2)
    ts = log_snr_grid(t_max, t_min, steps)

    def measured(moments: SecondMoments) -> dict[str, Any]:
        found = _distances(moments, values, t_max, temperature)
        return found | _estimated(moments, values, estimators, score_time, ts, temperature)

    variables = _averaged(_of_draws(measured, values, sizes, draws, split_key(key)[0], progress))
    variables |= _theory(values, sizes, estimators, score_time, temperature)
    parameters = {
        "spectrum": values, "draws": draws, "score_time": score_time, "t_max": t_max, "t_min": t_min, "steps": steps,
        "temperature": temperature,
    }  # fmt: skip
    coords: dict[str, Any] = {"count": sizes, "mode": np.arange(dim), "true_eigenvalue": ("mode", values)}
    coords["estimator"] = np.array([estimator.__name__ for estimator in estimators])
    ds = dataset(variables, coords, experiment="gaussian-regimes", seed=seed_of(key), parameters=parameters)
    return ds.assign_attrs({"N": dim, "regime_two_from": dim, "regime_three_from": dim**2, "draws": draws})


def _of_draws(
    measured: Callable[[SecondMoments], dict[str, Any]],
    values: np.ndarray,
    sizes: np.ndarray,
    draws: int,
    key: PRNGKey,
    progress: bool | None,
) -> dict[str, np.ndarray]:
    """What is measured of every data set, by name, on count and draw."""
    found: dict[str, list] = {}
    words = seed_of(key)
    bar = tqdm(total=len(sizes) * draws, desc="gaussian-regimes", unit="set", disable=hides_bar(progress))
    with bar:
        for count in sizes.tolist():
            rows = []
            for j in range(draws):
                # Each data set has its own stream, whatever the other counts are.
                rows.append(
                    measured(thermo.draw_second_moments(np.random.default_rng([*words, count, j]), values, count))
                )
                bar.update()
            for name in rows[0]:
                found.setdefault(name, []).append(np.stack([row[name] for row in rows]))
    return {name: np.stack(per_count) for name, per_count in found.items()}


def _averaged(found: dict[str, np.ndarray]) -> dict[str, tuple]:
    """Means over draws with their standard errors."""
    variables: dict[str, tuple] = {}
    for name, values in found.items():
        with np.errstate(invalid="ignore"):  # The relative entropy of a singular law is infinite, its spread unknown.
            parts = mean_and_stderr(np.moveaxis(values, 1, 0))
        dims = {"eigenvalues": ("count", "mode")}.get(name, ("estimator", "count") if values.ndim == 3 else ("count",))
        for shown, part in zip((name, f"{name}_stderr"), parts, strict=True):
            variables[shown] = (dims, part.T if dims == ("estimator", "count") else part)
    return variables


def _distances(moments: SecondMoments, values: np.ndarray, t_max: float, temperature: float) -> dict[str, Any]:
    """Between the law generated by the averaged score and the true one."""
    eigenvalues, vectors = np.linalg.eigh(moments.data)
    generated = np.asarray(thermo.generated_spectrum(np.maximum(eigenvalues, 0.0), t_max, temperature))
    covariance, true = vectors * generated @ vectors.T, np.diag(values)
    singular = moments.count < len(values)
    third = len(values) // 3
    return {
        "eigenvalues": generated,
        "wasserstein": thermo.wasserstein(covariance, true) / len(values),
        "spectral_distance": thermo.wasserstein(generated, values) / len(values),
        "kullback_leibler": np.inf if singular else thermo.kullback_leibler(covariance, true),
        "total_variation": 1.0 if singular else thermo.total_variation(covariance, true),
        "participation": thermo.participation(vectors[:, third : len(values) - third]).mean(),
    }


def _estimated(
    moments: SecondMoments,
    values: np.ndarray,
    estimators: Sequence[Estimator],
    score_time: float,
    ts: np.ndarray,
    temperature: float,
) -> dict[str, Any]:
    """Errors of the estimators of W, and distances of what they generate; nan where they have no value."""
    true = thermo.exact_precision(np.diag(values), score_time, temperature)
    rows = []
    for estimator in estimators:
        if moments.count <= len(values) and estimator is not thermo.averaged:
            rows.append([np.nan] * 3)
            continue
        error = float(np.sum((estimator(moments, score_time, temperature) - true) ** 2))
        made = thermo.generated_covariance(lambda t, w=estimator: w(moments, t, temperature), ts, temperature)
        distance = thermo.wasserstein(0.5 * (made + made.T), np.diag(values)) / len(values)
        rows.append([error, distance, float(np.trace(made) / np.trace(moments.data))])
    return dict(zip(("score_error", "wasserstein_estimator", "trace_ratio"), np.array(rows).T, strict=True))


def _theory(
    values: np.ndarray, sizes: np.ndarray, estimators: Sequence[Estimator], score_time: float, temperature: float
) -> dict[str, tuple]:
    """The lines to compare with."""
    dim = len(values)
    middle = values[dim // 3 : dim - dim // 3]
    # Eigenvalues a unit length there; a spectrum that does not spread has no golden rule.
    density = (len(middle) - 1) / np.ptp(middle) if np.ptp(middle) > 0 else np.nan
    quantiles = np.stack([_quantiles(values, dim / count) for count in sizes])
    errors = np.full((len(estimators), len(sizes)), np.nan)
    for i, estimator in enumerate(estimators):
        if estimator is thermo.unconstrained:
            exact = [thermo.unconstrained_error(values, count, score_time, temperature) for count in sizes.tolist()]
            errors[i] = np.where(np.isfinite(exact), exact, np.nan)
    participation = np.asarray(thermo.golden_rule_participation(np.median(middle), density, sizes))
    # Its conditions: 1 << 1/IPR << N.
    holds = (participation > 2) & (participation < dim / 3)
    return {
        "wasserstein_theory": ("count", [thermo.expected_wasserstein(values, dim / count) for count in sizes]),
        "spectral_distance_theory": ("count", np.mean((np.sqrt(quantiles) - np.sqrt(values)) ** 2, axis=1)),
        "kullback_leibler_theory": ("count", [thermo.expected_kullback_leibler(dim, n) for n in sizes.tolist()]),
        "total_variation_theory": ("count", [thermo.expected_total_variation(dim, n) for n in sizes.tolist()]),
        "participation_theory": ("count", np.where(holds, participation, np.nan)),
        "score_error_theory": (("estimator", "count"), errors),
        "eigenvalues_theory": (("count", "mode"), quantiles),
    }


def _quantiles(values: np.ndarray, q: float) -> np.ndarray:
    r"""The eigenvalues of a sample covariance in the limit of many, at the levels (i + 1/2) / N.

    With $\kappa = a + i b = -1/m$ in the equation of Silverstein the support is a curve over a,

    $$ q \Big\langle \frac{\lambda^2}{(a - \lambda)^2 + b^2} \Big\rangle = 1, \qquad
       x = \mathrm{Re}\, \kappa \Big(1 + q \Big\langle \frac\lambda{\kappa - \lambda} \Big\rangle\Big), $$

    on which the integral of the density is known: no bulk of a spectrum of many scales is too narrow to be seen.
    """
    distinct, counts = np.unique(values, return_counts=True)
    parts = counts / len(values)
    # About every eigenvalue from well within its own bulk to the ends of the whole.
    offsets = np.geomspace(0.02 * np.sqrt(parts.min()), 1.0, max(12, 1500 // len(distinct)))
    offsets = np.sqrt(q) * np.concatenate([-offsets[::-1], [0.0], offsets])
    places = np.unique(distinct[:, None] * (1 + offsets))
    # In pieces, so that large spectra fit into memory.
    pieces = np.array_split(places, 1 + places.size * distinct.size // 2**22)
    x, below = (np.concatenate(found) for found in zip(*(_curve(a, distinct, parts, q) for a in pieces), strict=True))
    levels = (np.arange(len(values)) + 0.5) / len(values)
    return np.where(levels <= 1 - 1 / q, 0.0, np.interp(levels, np.maximum.accumulate(below), x))


def _curve(a: np.ndarray, values: np.ndarray, parts: np.ndarray, q: float) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalue x at each a, and the part of all eigenvalues below it."""
    apart, pulls = (a[:, None] - values) ** 2, q * parts * values**2
    # The reciprocal of the sum is concave in b^2: from below, Newton rises to the root and never passes it.
    squared = np.maximum(0.0, np.max(pulls - apart, axis=1))
    for _ in range(100):
        shares = pulls / (apart + squared[:, None])
        total = shares.sum(1)
        move = np.where(total > 1, total * (total - 1) / (shares / (apart + squared[:, None])).sum(1), 0.0)
        squared = squared + move
        if np.all(move <= 1e-13 * squared):
            break
    kappa = a + 1j * np.sqrt(squared)
    size = np.abs(kappa) ** 2
    x = np.real(kappa * (1 + q * (parts * values / (kappa[:, None] - values)).sum(1)))
    angles = np.angle(kappa[:, None] - values) @ parts
    # At the hard edge of q = 1 the first term tends to 0.
    first = np.divide(x * kappa.imag, size, out=np.zeros_like(x), where=size > 0)
    return x, 1 + (first - (1 - q) * np.angle(kappa) - q * angles) / (np.pi * q)
