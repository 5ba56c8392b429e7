"""The regime diagram shows its points with their intervals, and the collapse in other dimensions."""

import jax
import matplotlib

matplotlib.use("Agg")

import numpy as np

import diffphys as dp


def test_measured_points_have_bars_that_are_their_intervals():
    rng = np.random.default_rng(0)
    data = dp.Empirical(rng.normal(size=(40, 3)) + 3 * np.repeat([[1], [-1]], 20, 0), np.repeat([0, 1], 20))
    ds = dp.diagram(data, key=jax.random.key(0), measured_sizes=2, samples=128, progress=False)
    axes = dp.plots.diagram(ds).axes[0]
    bars = {c.get_label(): c for c in axes.containers}
    segments = bars["$E[L] = 0$, measured"].lines[2][0].get_segments()
    assert len(segments) == 2
    for i, segment in enumerate(segments):
        ends = [float(ds[f"variance_measured{end}"][i]) for end in ("_low", "_high")]
        np.testing.assert_allclose(segment[:, 1], ends, rtol=1e-6)


def test_other_dimensions_are_named_at_their_curves():
    ds = dp.diagram(dp.symmetric_mixture(np.ones(16)), key=jax.random.key(0))
    axes = dp.plots.diagram(ds).axes[0]
    assert {" $d = 4$", " $d = 64$"} <= {text.get_text() for text in axes.texts}
    assert any(label.startswith("$n^* = ") for label in axes.get_legend_handles_labels()[1])
