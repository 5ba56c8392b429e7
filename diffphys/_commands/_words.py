"""Summaries in words: the times of a result with their noise levels, its verdict, and how clones agree."""

from typing import Any

import numpy as np
import xarray as xr

from ..experiments import CRITERIA


def time_words(
    name: str, time: float, level: float, words: str, low: float = np.nan, high: float = np.nan
) -> str:  # fmt: skip
    """One time with its interval, its noise level sigma_v, and what it is."""
    if not np.isfinite(time):
        return f"{name:18} {'none':38} {words}"
    interval = f" [{low:.3f}, {high:.3f}]" if np.isfinite(low) and np.isfinite(high) and high > low else ""
    return f"{name:18} {f'{time:.3f}{interval}':22} sigma_v {level:<7.4g} {words}"


def named_time(attrs: dict[str, Any], key: str, name: str, words: str, ends: str | None = None) -> str:
    """The time of that name among attributes, with its noise level; its interval where the `ends` are named so."""
    interval = () if ends is None else (attrs[ends.format("low")], attrs[ends.format("high")])
    return time_words(name, attrs[key], attrs[f"{key}_sigma_v"], words, *interval)


def speciation_words(ds: xr.Dataset) -> list[str]:
    """The summary of a speciation run."""
    a = ds.attrs
    lines = [a["data"]]
    if np.isfinite(a["spectral_time"]):
        words = f"spectral: 1/2 log(Lambda / T), Lambda = {a['eigenvalue']:.4g}"
        if a.get("verdict", "").startswith(("collapse", "one class")):
            words += "; of the spectrum alone, no speciation time here"
        lines.append(named_time(a, "spectral_time", "t_S", words, "spectral_time_{}"))
    else:
        words = f"no speciation by the spectral criterion (Lambda = {a['eigenvalue']:.3g} <= T)"
        lines.append(time_words("t_S", np.nan, np.nan, words))
    for name, words in (("score_zero_time", "score zero at the origin"), ("drift_time", "reverse drift at the origin"),
                        ("theory_crossing_time", "theory crosses its threshold")):  # fmt: skip
        if name in a:
            lines.append(named_time(a, name, name.removesuffix("_time").replace("_", " "), words))
    # Clones of one class agree always.
    simulated = [] if a.get("verdict", "").startswith("one class") else _clone_words(ds, "phi")
    return [*lines, *_verdict_words(a), *simulated]


def _verdict_words(a: dict[str, Any]) -> list[str]:
    """Where the identity says that labels are decided, and by what."""
    if "verdict" not in a:
        return []
    lines, verdict = [], a["verdict"]
    if not verdict.startswith(("collapse", "one class")):
        if np.isfinite(a["threshold"]):
            words = f"phi crosses {a['threshold']:.4f}"
            lines.append(named_time(a, "crossing_time", "crossing", words, "crossing_{}"))
        lines.append(named_time(a, "half_information_time", "half information", "I(C; X_t) = H(C) / 2"))
    if verdict == "speciation" and not np.isfinite(a["spectral_time"]):
        verdict = "speciation by the labels, decided at the time above; only the spectrum tells none"
    lines.append(f"{'verdict':18} {verdict}")
    if np.isfinite(a.get("phi_permuted_at_crossing", np.nan)):
        lines.append(
            f"{'':18} at the crossing: permuted labels {a['phi_permuted_at_crossing']:.3f}, datum left out "
            f"{a['phi_left_out_at_crossing']:.3f}, phi_C {a['phi_c_at_crossing']:.3f}"
        )
    return lines


def collapse_words(ds: xr.Dataset) -> list[str]:
    """The summary of a collapse run."""
    a = ds.attrs
    lines = [
        a["data"],
        f"{'load':18} alpha = log n / d = {a['alpha']:.4g} "
        f"({a['alpha_varying']:.4g} over the {a['d_varying']} coordinates that vary)",
    ]
    if "collapse_time" in ds:
        lines += _collapse_time_words(ds)
    else:
        lines.append(named_time(a, "collapse_time_theory", "t_C, theory", a["theory"]))
    lines += _last_change_words(ds)
    lines.append(
        f"{'width':18} d_eff = {a['effective_dimension']:.3g}, 2 / sqrt(d_eff) = {a['width_log_v']:.2g} in log v"
    )
    return lines + _clone_words(ds, "phi_c")


def _collapse_time_words(ds: xr.Dataset) -> list[str]:
    """Every collapse time by its name, pooled and by class, and those of single data."""
    names = {
        "mean_log_ratio_zero": ("t_C", "E[L] = 0"),
        "phi_c_half": ("phi_C = 1/2", "half the clones meet"),
        "excess_entropy_half": ("f_e/alpha = 1/2", "half the entropy"),
        "gaussian": ("t_C, theory", ds.attrs["theory"]),
    }
    lines = []
    for c, criterion in enumerate(CRITERIA):
        name, words = names[criterion]
        time, level, low, high = (
            float(ds[f"collapse_time{end}"][c, 0]) for end in ("", "_sigma_v", "_low", "_high")
        )  # fmt: skip
        by_class = ", ".join(f"{float(t):.3f}" for t in ds.collapse_time[c, 1:])
        lines.append(time_words(name, time, level, words + (f"; by class {by_class}" if by_class else ""), low, high))
    low, median, high = (float(q) for q in ds.own_collapse_time[:, 0])
    words = f"median over data points of where L = 0; 10-90 % {low:.3f} to {high:.3f}"
    lines.append(time_words("data points", median, float(ds.own_collapse_time_sigma_v[1, 0]), words))
    return lines


def regimes_words(ds: xr.Dataset) -> list[str]:
    """The summary of both."""
    return exact_words(ds) + _regimes_line(ds)


def exact_words(ds: xr.Dataset) -> list[str]:
    """The summary of both without the regimes: of data before a model of them has moved."""
    return speciation_words(ds) + collapse_words(ds)[1:]


def model_words(ds: xr.Dataset) -> list[str]:
    """What clones of a model say of it, and which regimes there are: its own where it has moved."""
    own = _last_change_words(ds)
    if "verdict_model" not in ds.attrs:
        return own + _regimes_line(ds)
    kind = "clones" if "phi_clones" in ds else "sampler"
    share, error = (100 * ds.attrs[f"copied_share_{kind}{end}"] for end in ("", "_stderr"))
    copies = f"{share:.1f} +- {error:.1f} % of the ends are three times nearer to one datum than to any other"
    return [
        "The model, by its clones:", *_clone_words(ds, "phi"), *_clone_words(ds, "phi_c"), *own,
        f"{'copies':18} {copies}", f"{'verdict':18} {ds.attrs['verdict_model']}", *_regimes_line(ds),
    ]  # fmt: skip


def _regimes_line(ds: xr.Dataset) -> list[str]:
    """Which regimes there are, if that is known."""
    return [f"{'regimes':18} {ds.attrs['regimes']}"] if "regimes" in ds.attrs else []


def _last_change_words(ds: xr.Dataset) -> list[str]:
    """When the nearest datum changed for the last time, if that was timed."""
    if "last_change_time" not in ds:
        return []
    low, median, high = np.quantile(ds.last_change_time, [0.1, 0.5, 0.9])
    words = f"of the nearest datum, median of {ds.sizes['trajectory']} trajectories; 10-90 % {low:.3f} to {high:.3f}"
    return [time_words("last change", median, float(ds.last_change_time_sigma_v.median()), words)]


def _clone_words(ds: xr.Dataset, name: str) -> list[str]:
    """How far the simulated curve lies from the identity, its bias, and where it crosses.

    From its own identity in standard errors: a check. From that of another score as it is: a result.
    """
    for kind in ("clones", "sampler"):
        if f"{name}_{kind}" not in ds:
            continue
        part = ds.dropna("t", subset=[f"{name}_{kind}"])
        bias, spread = (part[f"{name}_{kind}_bias{end}"].values for end in ("", "_stderr"))
        worst = int(np.abs(bias).argmax())
        line = f"{f'{name}, {kind}':18} {_pairs(part)} pairs at {part.sizes['t']} times; "
        line += f"halving the grid moves it {abs(bias[worst]):.3f} +- {spread[worst]:.3f}"
        gap = part[f"{name}_{kind}"] - part[name] if name in ds else None
        if gap is not None and ds.attrs["score"] == "given":
            most = int(np.abs(gap.values).argmax())
            line += f"; a given score: {float(gap[most]):+.3f} from the exact one's identity, "
            line += f"at most, at t = {float(part.t[most]):.3g}"
        elif gap is not None and kind == "clones":
            error = np.hypot(part[f"{name}_{kind}_stderr"], part[f"{name}_stderr"])
            z = np.abs(gap) / np.maximum(error, 1 / part.clones_run)
            line += f"; at most {float(z.max()):.1f} standard errors from the identity"
        return [line, *_clone_times(ds, name, kind)]
    return []


def _pairs(ds: xr.Dataset) -> str:
    """How many pairs of clones there were, at each time or at the least and the most."""
    least, most = int(ds.clones_run.min()), int(ds.clones_run.max())
    return f"{most}" if least == most else f"{least} to {most}"


def _clone_times(ds: xr.Dataset, name: str, kind: str) -> list[str]:
    """Where clones cross, by soft and by hard labels; nothing where the identity of their own score has said it."""
    if ds.attrs["score"] == "exact" and name in ds:
        return []
    whose = "of the model" if ds.attrs["score"] == "given" else "by clones" if kind == "clones" else "by the sampler"
    lines = []
    for suffix in ("", "_hard"):
        curve, event = f"{name}{suffix}_{kind}", "phi_c_half" if name == "phi_c" else "crossing"
        words = f"{curve} crosses 1/2" + (", by the nearest datum" if suffix else ", by the weights of the data")
        if name == "phi":
            words = f"{curve} crosses {ds.attrs[f'threshold{suffix}_{kind}']:.4f}"
            if suffix and ds.attrs["labelled_by"] == "classifier":
                words += ", by the classifier"
        key = f"{event}_time{suffix}_{kind}"
        lines.append(named_time(ds.attrs, key, whose, words, f"{event}_{{}}{suffix}_{kind}"))
    return lines


def diagram_words(ds: xr.Dataset) -> list[str]:
    """The summary of a diagram."""
    a = ds.attrs
    lines = [a["data"], named_time(a, "spectral_time", "t_S", "spectral: 1/2 log(Lambda / T)")]
    star = a["log_n_star"]
    if np.isfinite(star):
        lines.append(f"n* = {np.exp(star):.3g}: with fewer data collapse precedes speciation (log n* = {star:.2f})")
    for i in range(ds.sizes.get("n_measured", 0)):
        part = ds.isel(n_measured=i)
        origin = "by speciation" if part.verdict_speciation else "not by speciation"
        for name, first, words in (
            ("measured", f"n = {int(part.n_measured)}", "E[L] = 0"), ("label", "", f"labels decided, {origin}")
        ):  # fmt: skip
            time, level, low, high = (float(part[f"time_{name}{end}"]) for end in ("", "_sigma_v", "_low", "_high"))
            lines.append(time_words(first, time, level, words, low, high))
    return lines
