"""What is chosen of data: classes, labels, channels, padding and scale; and every refusal."""

import json

import numpy as np
import pytest
from data_files import COLOURS, IMAGES, LABELS
from hypothesis import given, settings, strategies as st

from diffphys.data import load
from diffphys.data._labelled import _padded as padded


def test_classes_keep_the_order_asked_for_and_points_that_of_the_file(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    data = load(tmp_path / "x.npz", classes=(7, 3), per_class=2, scale=None, centre=False)
    assert (data.classes, data.labels.tolist()) == (("7", "3"), [1, 1, 0, 0])
    np.testing.assert_array_equal(data.points, IMAGES[[0, 2, 3, 6]].reshape(4, 16))


def test_labels_given_replace_those_of_the_source(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, labels=LABELS)
    data = load(tmp_path / "x.npz", labels=(LABELS > 4).astype(int), classes=(1,))
    assert len(data.points) == 7


def test_padding_keeps_the_background(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    data = load(tmp_path / "x.npy", pad=7, scale=(-1.0, 1.0), centre=False)
    images = data.points.reshape(12, *data.shape)
    assert data.shape == (7, 7)
    np.testing.assert_allclose(images[:, 1:5, 1:5], 2.0 * (IMAGES / 255.0) - 1.0, atol=1e-7)
    assert np.count_nonzero(images != -1.0) == np.count_nonzero(IMAGES)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 7))
def test_padding_loses_nothing(height, width, extra):
    side = max(height, width) + extra
    images = np.arange(1, 2 * height * width + 1).reshape(2, height, width)
    frame = padded(images, side)
    assert frame.shape == (2, side, side)
    np.testing.assert_array_equal(frame[frame != 0], images.ravel())


def test_centred_points_have_no_mean_and_remember_it():
    data, plain = load("digits"), load("digits", centre=False)
    assert np.abs(data.points.mean(0, dtype=np.float64)).max() < 1e-7
    np.testing.assert_allclose(data.points + data.mean[None], plain.points, atol=1e-7)
    np.testing.assert_array_equal(plain.mean, 0.0)
    assert (plain.points.min(), plain.points.max()) == (0.0, 1.0)


def test_eight_bit_values_are_scaled_to_the_nearest_float32(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(256, dtype=np.uint8)[:, None])
    data = load(tmp_path / "x.npy", centre=False)
    np.testing.assert_array_equal(data.points[:, 0], (np.arange(256) * (1 / 255)).astype(np.float32))


def test_settings_redo_the_data(tmp_path):
    np.savez(tmp_path / "x.npz", images=COLOURS, labels=LABELS)
    data = load(tmp_path / "x.npz", classes=(7, np.int64(3)), per_class=2, channel=1, pad=6, scale=(-1, 1))
    kept = json.loads(json.dumps(data.settings))
    digest = kept.pop("sha256")
    again = load(**kept)
    np.testing.assert_array_equal(again.points, data.points)
    np.testing.assert_array_equal(again.mean, data.mean)
    assert again.settings["sha256"] == digest
    assert load(**kept | {"per_class": 1}).settings["sha256"] != digest


@pytest.fixture
def colours(tmp_path):
    np.savez(tmp_path / "x.npz", images=COLOURS, labels=LABELS)
    return tmp_path / "x.npz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": (3, 4)}, r"`classes` needs classes that have samples\. Got 4\. There are: 3, 5, 7"),
        ({"classes": (3, 3)}, "`classes` needs different classes"),
        ({"classes": ()}, "`classes` needs different classes, at least one"),
        ({"per_class": 4}, r"`per_class` needs at most the 3 samples of class 7\. Got 4"),
        ({"per_class": 0}, "`per_class` needs at least 1"),
        ({"channel": 3}, r"`channel` needs an index below 3.*Got 3"),
        ({"channel": "purple"}, r"`channel` needs .* Got 'purple'"),
        ({"pad": 3}, r"`pad` needs .* Got 3 for samples of shape \(4, 4, 3\)"),
        ({"scale": (1.0, 1.0)}, r"`scale` needs two finite bounds, low < high"),
        ({"scale": (0.0, np.inf)}, r"`scale` needs two finite bounds"),
        ({"labels": LABELS[:5]}, r"`labels` needs one label a sample, \(12,\)\. Got \(5,\)"),
        ({"labels": LABELS + 0.5}, "`labels` needs whole numbers or words"),
        ({"labels": "absent.npy"}, "`labels` needs an existing file"),
    ],
)
def test_choices_that_do_not_fit_are_refused(colours, options, message):
    with pytest.raises(ValueError, match=message):
        load(colours, **options)


@pytest.mark.parametrize("options", [{"channel": 0}, {"channel": "red"}])
def test_grey_images_have_no_channel(options):
    with pytest.raises(ValueError, match="`channel` needs images in colour; None for grey"):
        load("digits", **options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[1.0, np.nan]]), r"finite in float32\. Got 1"),
        (np.array([[1.0, np.inf], [-np.inf, 0.0]]), r"finite in float32\. Got 2"),
        (np.array([[1e39, 0.0]]), "finite in float32"),
        (np.full((3, 2, 2), 7, np.uint8), r"needs data that vary\. Got 7 everywhere"),
        (np.arange(3.0), r"needs numbers of shape \(n, d\)"),
        (np.zeros((0, 3)), r"needs numbers of shape \(n, d\)"),
        (np.array([["a", "b"]]), r"needs numbers of shape \(n, d\)"),
        (np.ones((2, 3, 8, 8)), "needs channels on the last axis"),
        (np.array([[0.0, 1.5]]), r"`scale` needs a known raw range.*float64 in \[0, 1\.5\].*scale=None"),
        (np.array([[0, 1]]), "`scale` needs a known raw range"),
    ],
)
def test_values_that_cannot_be_used_are_refused(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x.npy")


def test_classes_of_unlabelled_data_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    with pytest.raises(ValueError, match="`classes` needs labelled data"):
        load(tmp_path / "x.npy", classes=(1,))


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([[1.0]], {}, r"`source` needs a name or a path. Got list. Give arrays to `Empirical"),
        ("digits", {"classes": 1}, r"`classes` needs a list of classes. Got 1. Give \[1\]"),
        ("digits", {"classes": "1,8"}, "`classes` needs a list of classes. Got '1,8'"),
        ("digits", {"scale": 1.0}, r"`scale` needs two bounds, \(low, high\). Got 1.0"),
        ("Fashion_MNIST", {}, "which does not exist. Do say `fashion-mnist`"),
        ("~/points.npy", {}, "which does not exist. Do give the path of the home folder in full"),
    ],
    ids=["array", "one class", "classes in words", "one bound", "another spelling", "home"],
)
def test_slips_in_asking_for_data_are_named(source, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        load(source, **options)
