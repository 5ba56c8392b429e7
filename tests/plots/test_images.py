"""Figures of samples and of training hold what they claim."""

import matplotlib

import diffphys as dp

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def page(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_every_picture_is_where_it_is_said_to_be(shape):
    samples = RNG.uniform(size=(7, np.prod(shape)))
    drawn = page(dp.plots.image_grid(samples, shape, columns=3, value_range=(0, 1)))
    assert drawn.shape == (3 * 4 + 2, 3 * 5 + 2, 3)  # A gap of one pixel.
    fifth = np.broadcast_to(samples[4].reshape(4, 5, -1), (4, 5, 3))
    np.testing.assert_allclose(drawn[5:9, 6:11], fifth)
    np.testing.assert_array_equal(drawn[:, 5], 1)
    np.testing.assert_array_equal(drawn[10:, 6:], 1)  # The last row has one picture.


def test_pictures_are_drawn_in_the_units_of_the_data():
    samples, mean = RNG.normal(size=(4, 6)), np.arange(6.0)
    drawn = page(dp.plots.image_grid(samples, (2, 3), mean=mean, columns=4, value_range=(0.0, 5.0)))
    np.testing.assert_allclose(drawn[:, :3, 0].ravel(), np.clip((samples[0] + mean) / 5, 0, 1))
    whole = page(dp.plots.image_grid(samples, (2, 3), mean=mean, columns=4))
    assert whole[:, :3].min() >= 0
    np.testing.assert_allclose(
        whole[:, 0, 0].ravel()[0], (samples[0, 0] - (samples + mean).min()) / np.ptp(samples + mean)
    )


def test_labels_stand_above_their_pictures():
    axes = dp.plots.image_grid(np.zeros((3, 64)), (8, 8), labels=[7, 8, 9], columns=2, title="Three").axes[0]
    assert [text.get_text() for text in axes.texts] == ["7", "8", "9"]
    positions = [text.get_position() for text in axes.texts]
    assert positions[0][1] == positions[1][1] < positions[2][1]
    assert positions[0][0] == positions[2][0] < positions[1][0]
    assert axes.get_title(loc="left") == "Three"


def test_vectors_are_drawn_along_the_principal_directions_of_the_data():
    data = RNG.normal(size=(400, 3)) * [1.0, 5.0, 0.1]
    samples = np.array([[0.0, 10.0, 0.0], [2.0, 0.0, 0.0]])
    axes = dp.plots.point_cloud(samples, data).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["data", "samples"]
    x, y = axes.lines[1].get_data()
    np.testing.assert_allclose(np.abs(x), [10, 0], atol=0.6)
    np.testing.assert_allclose(np.abs(y), [0, 2], atol=0.6)
    spectrum = dp.thermo.covariance_spectrum(data)
    assert f"{spectrum[0] / spectrum.sum():.0%} of the variance" in axes.get_xlabel()
    (line,) = dp.plots.point_cloud(data[:, :1]).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), 0)


def history(loss, **attrs):
    variables = {"loss": ("step", np.asarray(loss))}
    ds = dp.results.dataset(
        variables, {"step": np.arange(len(loss))}, experiment="training", seed=0, parameters={"batch": 10}
    )
    return ds.assign_attrs(attrs)


def test_the_history_shows_the_loss_against_the_samples_seen():
    loss = 1 - 0.001 * np.arange(500.0)
    axes = dp.plots.training_history(history(loss, linear_loss=1.0)).axes[0]
    batches, mean, line = axes.lines
    np.testing.assert_array_equal(batches.get_xdata(), 10 * np.arange(1, 501))
    # A line is its own running mean, to half a step: a window of ten has no middle.
    np.testing.assert_allclose(mean.get_ydata(), np.interp(mean.get_xdata(), batches.get_xdata(), loss), atol=0.00051)
    assert set(line.get_ydata()) == {1.0}
    assert axes.get_yscale() == "linear"


def test_the_history_of_a_short_training_has_a_mean_of_some_batches():
    axes = dp.plots.training_history(history(np.arange(40.0) % 2)).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), 0.5)


def test_a_loss_of_an_unfinished_training_that_falls_by_decades_is_drawn_in_them():
    loss = np.where(np.arange(400) < 300, 0.97 ** np.arange(400.0), np.nan)
    axes = dp.plots.training_history(history(loss)).axes[0]
    assert axes.get_yscale() == "log"
    assert axes.lines[0].get_xdata()[-1] == 3000
    assert len(axes.lines) == 2


def test_what_cannot_be_drawn_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"`image_grid` needs the `shape` of pictures of 6 numbers.*Got \(6,\)"):
        dp.plots.image_grid(np.zeros((2, 6)), (6,))
    with pytest.raises(ValueError, match=r"Got \(1, 3, 2\)"):
        dp.plots.image_grid(np.zeros((2, 6)), (1, 3, 2))
    with pytest.raises(ValueError, match=r"`labels` needs one word a picture, 2\. Got 1"):
        dp.plots.image_grid(np.zeros((2, 6)), (2, 3), labels=["a"])
    with pytest.raises(ValueError, match="`point_cloud` needs samples and data of one dimension"):
        dp.plots.point_cloud(np.zeros((2, 6)), np.zeros((2, 5)))
