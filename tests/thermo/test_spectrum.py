"""The covariance spectrum of data, and the coverage of the interval of the spectral time."""

import gzip

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from diffphys.thermo import covariance_spectrum, critical_times, row_sums, spectral_time


def mixture(dim, count, norm_squared):
    """Draws of `1/2 N(m, I) + 1/2 N(-m, I)`, the means along the first axis."""

    def draw(rng):
        points = rng.normal(size=(count, dim))
        points[:, 0] += np.sqrt(norm_squared) * rng.choice([-1.0, 1.0], count)
        return points

    return draw


def gaussian(count, spectrum):
    return lambda rng: rng.normal(size=(count, len(spectrum))) * np.sqrt(spectrum)


SPIKED = {
    "mixture, more dimensions than points": (mixture(256, 200, 16.0), 17.0),
    "mixture, few dimensions": (mixture(16, 2000, 16.0), 17.0),
    "mixture, spike near the bulk": (mixture(256, 200, 3.0), 4.0),
    "gaussian, more dimensions than points": (gaussian(200, np.r_[17.0, np.ones(255)]), 17.0),
    "gaussian, few dimensions": (gaussian(2000, np.r_[17.0, np.ones(15)]), 17.0),
    "gaussian, twin spikes": (gaussian(500, np.r_[9.0, 9.0, np.ones(18)]), 9.0),
    "gaussian, power-law bulk": (gaussian(200, 16 / np.arange(1.0, 101.0) ** 1.5), 16.0),
}


def balanced_crosses(heavy, light, mean):
    """Points whose covariance is exact: classes at +-mean, each with a symmetric cross of unit covariance."""
    dim = len(mean)
    cross = np.sqrt(dim) * np.concatenate([np.eye(dim), -np.eye(dim)])
    return np.concatenate([cross + mean] * heavy + [cross - mean] * light)


@pytest.mark.parametrize("shape", [(50, 7), (7, 50)], ids=["tall", "wide"])
@pytest.mark.parametrize("centre", [True, False])
def test_covariance_spectrum_is_that_of_the_whole_matrix(shape, centre):
    points = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1) + 3
    whole = np.cov(points, rowvar=False) if centre else points.T @ points / len(points)
    expected = np.linalg.eigvalsh(whole)[::-1][: min(shape)]
    np.testing.assert_allclose(covariance_spectrum(points, centre), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(50, 7), (7, 50)], ids=["tall", "wide"])
def test_spectral_time_knows_the_whole_spectrum_and_other_temperatures(shape):
    points = 3 * np.random.default_rng(2).normal(size=shape)
    found, warm = spectral_time(points), spectral_time(points, temperature=2.0)
    np.testing.assert_allclose(found.spectrum, covariance_spectrum(points), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found.at(2.0)[:-1], warm[:-1])
    assert warm.time == pytest.approx(found.time - 0.5 * np.log(2))
    assert np.isnan(found.at(1e6).time)


@pytest.mark.parametrize("shape", [(50, 7), (7, 50)], ids=["tall", "wide"])
def test_covariance_by_small_blocks_is_the_same(shape, monkeypatch):
    points = np.random.default_rng(1).normal(size=shape)
    whole = covariance_spectrum(points), spectral_time(points)
    monkeypatch.setattr(row_sums, "_COLUMNS", 3)
    monkeypatch.setattr(row_sums, "_ROWS", 3)
    np.testing.assert_allclose(covariance_spectrum(points), whole[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(spectral_time(points)[:-1], whole[1][:-1], rtol=1e-10)


def test_covariance_of_single_precision_points_far_from_the_origin_keeps_its_digits():
    points = (np.random.default_rng(2).integers(0, 256, size=(400, 5)) + 2**20).astype(np.float32)
    expected = np.linalg.eigvalsh(np.cov(points.astype(float), rowvar=False))[::-1]
    np.testing.assert_allclose(covariance_spectrum(points), expected, rtol=1e-12)


def test_top_eigenvalue_of_unbalanced_classes_depends_on_centring(oracles):
    oracle = oracles["lambda_centring_unbalanced"]
    mean = np.sqrt(oracle["inputs"]["m2"]) * np.array([1.0, 0.0, 0.0])
    points = balanced_crosses(4, 1, mean)
    centred = covariance_spectrum(points)[0] * (len(points) - 1) / len(points)
    found = [centred, covariance_spectrum(points, centre=False)[0]]
    np.testing.assert_allclose(found, oracle["value"], rtol=0, atol=1e-12)


def test_spectral_time_of_an_exact_mixture_is_that_of_the_theory():
    points = balanced_crosses(500, 500, np.array([4.0, 0.0, 0.0]))
    for temperature in (1.0, 2.0):
        expected = critical_times(16.0, 1.0, temperature).spectral
        found = spectral_time(points, temperature=temperature, centre=False)
        assert found.time == pytest.approx(float(expected), abs=1e-13)


def test_spectral_time_is_none_rather_than_negative():
    points = 0.2 * np.random.default_rng(3).normal(size=(300, 4))
    cold = spectral_time(points)
    assert np.isnan([cold.time, cold.time_low, cold.time_high]).all()
    assert cold.eigenvalue > 0
    assert spectral_time(points, temperature=0.01).time > 0


def test_interval_in_few_dimensions_is_that_of_the_delta_method():
    points = gaussian(4000, np.array([9.0, 1.0]))(np.random.default_rng(4))
    found = spectral_time(points)
    _, vectors = np.linalg.eigh(np.cov(points, rowvar=False))
    squares = ((points - points.mean(0)) @ vectors[:, -1]) ** 2
    width = 2 * 1.959963984540054 * squares.std() / np.sqrt(len(points))
    assert found.eigenvalue_high - found.eigenvalue_low == pytest.approx(width, rel=2e-3)
    assert found.corrected == pytest.approx(found.eigenvalue, rel=1e-4)


def test_correction_inverts_the_asymptotic_shift_of_a_white_bulk():
    """`L_1 = l (1 + gamma / (l - 1))` for a spike l above a bulk of ones."""
    rng, gamma = np.random.default_rng(5), 0.5
    draw = gaussian(400, np.r_[9.0, np.ones(199)])
    with threadpool_limits(1):
        found = [spectral_time(draw(rng)) for _ in range(100)]
    plain, corrected = (np.array([getattr(one, name) for one in found]) for name in ("eigenvalue", "corrected"))
    assert abs(plain.mean() - 9 * (1 + gamma / 8)) < 4 * plain.std() / 10
    assert abs(corrected.mean() - 9) < 4 * corrected.std() / 10


@pytest.mark.parametrize("case", SPIKED)
def test_interval_covers_the_population_eigenvalue(case):
    draw, truth = SPIKED[case]
    rng, replicates = np.random.default_rng(0), 200
    with threadpool_limits(1):
        found = [spectral_time(draw(rng)) for _ in range(replicates)]
    covered = np.mean([one.eigenvalue_low < truth < one.eigenvalue_high for one in found])
    # 95 % is promised; 90 % is 3.2 standard errors below it.
    assert covered >= 0.90


@pytest.mark.parametrize("case", [name for name in SPIKED if "twin" not in name])
def test_interval_is_as_wide_as_the_corrected_eigenvalue_varies(case):
    rng, replicates = np.random.default_rng(1), 200
    with threadpool_limits(1):
        found = [spectral_time(SPIKED[case][0](rng)) for _ in range(replicates)]
    scale = np.mean([np.log(one.eigenvalue_high / one.eigenvalue_low) for one in found]) / (2 * 1.96)
    spread = np.std([np.log(one.corrected) for one in found])
    assert scale == pytest.approx(spread, rel=4 / np.sqrt(2 * replicates))


def test_interval_of_an_exactly_degenerate_spectrum_is_finite_and_holds_it():
    found = spectral_time(balanced_crosses(20, 20, np.zeros(4)), centre=False)
    assert found.eigenvalue_low < 1 < found.eigenvalue_high < np.inf


def digits(lab, pair):
    """The first 5000 training images of two digits, in file order, values in [0, 1]."""
    with gzip.open(lab / "mnist/train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(lab / "mnist/train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    chosen = np.concatenate([images[labels == digit][:5000] for digit in pair])
    return chosen.astype(np.float32) / np.float32(255)


def test_spectral_time_of_ones_and_eights_is_that_of_the_paper(lab):
    images = np.pad(digits(lab, (1, 8)), ((0, 0), (2, 2), (2, 2))).reshape(-1, 1024)
    found = spectral_time(images)
    assert found.eigenvalue == pytest.approx(7.668, abs=5e-4)
    assert found.time == pytest.approx(1.018, abs=1e-3)
    assert found.time_low < found.time < found.time_high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "eigenvalue"), [((1, 7), 8.965), ((0, 1), 16.033), ((3, 8), 6.048), ((4, 9), 5.435)], ids=str
)
def test_spectra_of_other_pairs_of_digits(lab, pair, eigenvalue):
    found = covariance_spectrum(digits(lab, pair).reshape(-1, 784))[0]
    assert found == pytest.approx(eigenvalue, abs=5e-4)


@pytest.mark.parametrize(
    ("channels", "eigenvalue"),
    [([0], 16.718), pytest.param([0, 1, 2], 49.569, marks=pytest.mark.slow)],
    ids=["red", "all"],
)
def test_spectra_of_cars_and_horses(lab, channels, eigenvalue):
    with np.load(lab / "cifar10/cifar10_automobile_horse_train3000.npz") as archive:
        images = archive["images"][..., channels].reshape(6000, -1).astype(np.float32) / np.float32(255)
    assert covariance_spectrum(images)[0] == pytest.approx(eigenvalue, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: covariance_spectrum(np.ones((1, 3))), "`points` needs two rows or more"),
        (lambda: covariance_spectrum(np.array([[0.0], [np.nan]])), "`points` needs finite entries"),
        (lambda: spectral_time(np.ones((5, 3))), "`points` needs two distinct rows"),
        (lambda: spectral_time(np.eye(3), temperature=0.0), "`temperature` > 0"),
        (lambda: spectral_time(np.eye(3), confidence=1.0), r"`confidence` in \(0, 1\)"),
    ],
)
def test_spectra_refuse_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()
