"""What is known exactly of a start from a Gaussian: its relative entropy, and what linear samplers make of it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from .. import thermo
from .._types import Denoiser
from ..processes import AbstractProcess, OrnsteinUhlenbeck
from ..samplers import AbstractSampler
from ..samplers.table import AbstractTableSampler
from ..targets import AbstractTarget, Gaussian, IsotropicMixture, SharedCovarianceMixture
from ._gaussian_flow import GaussianLaw, push
from ._normal_law import NormalLaw
from ._theory import origin_times, two_classes

MakeSampler = Callable[[AbstractProcess, Denoiser], AbstractSampler]


def start_divergences(
    target: AbstractTarget, law: NormalLaw, variances: Float[np.ndarray, " times"]
) -> Float[np.ndarray, "starts times"] | None:
    r"""Relative entropy of the noised target with respect to the Gaussian of its moments, and to the prior.

    That to the prior is the sum of that to the Gaussian and of that of the Gaussian to the prior, whose logarithm is
    quadratic: $\tfrac12 \sum_i [\lambda_i / v - \log(1 + \lambda_i / v)] + |\mu|^2 / 2v$. None where it is not known.
    """
    if isinstance(target, Gaussian):
        own = np.zeros(len(variances))
    else:
        classes = two_classes(target) if isinstance(target, IsotropicMixture | SharedCovarianceMixture) else None
        if classes is None:
            return None
        delta = thermo.separation(classes.half_difference, classes.covariance, variances)
        own = np.asarray(thermo.gaussian_divergence(delta, classes.weight))
    ratios = law.eigenvalues / variances[:, None]
    prior = 0.5 * (ratios - np.log1p(ratios)).sum(1) + 0.5 * np.sum(law.mean**2) / variances
    return np.stack([own, own + prior])


def critical_attributes(target: AbstractTarget, process: AbstractProcess) -> dict[str, float]:
    """The critical times of two equal isotropic classes about the origin, by the names of their criteria."""
    classes = two_classes(target) if origin_times(target, process) else None
    if classes is None or not isinstance(process, OrnsteinUhlenbeck):
        return {}
    norm = float(np.sum(np.asarray(classes.half_difference) ** 2))
    found = thermo.critical_times(norm, float(np.asarray(classes.covariance)), float(process.temperature))
    return {f"critical_time_{name}": float(value) for name, value in found._asdict().items()}


def generated_distances(
    target: Gaussian,
    process: AbstractProcess,
    times: Float[np.ndarray, " times"],
    samplers: Mapping[str, MakeSampler],
    grids: Mapping[int, Sequence[np.ndarray]],
) -> Float[np.ndarray, "2 starts samplers steps times"]:
    """KL and squared Wasserstein distance of what is generated from a Gaussian target, by its exact denoiser.

    Against the target at the noise of the end. nan for samplers whose steps are no table.
    """
    values = np.asarray(target.eigenvalues, np.float64)
    mean = np.asarray(target.mean, np.float64)
    mean = mean if target.basis is None else mean @ np.asarray(target.basis, np.float64)

    def denoise(variance: float, t: float) -> tuple[np.ndarray, np.ndarray]:
        slope = values / (values + variance)
        return slope, (1 - slope) * mean

    found = np.full((2, 2, len(samplers), len(grids), len(times)), np.nan)
    for i, make in enumerate(samplers.values()):
        sampler = make(process, target.posterior_mean)
        if np.ndim(process.start()[0]) or not isinstance(sampler, AbstractTableSampler):
            continue
        for j, of_times in enumerate(grids.values()):
            for k, ts in enumerate(of_times):
                first, last = process.kernel(float(ts[0])), process.kernel(float(ts[-1]))
                noise = float(first.factor) ** 2 * np.ones(len(mean))
                lift, goal = float(first.mean), values + float(last.variance)
                starts = (GaussianLaw(lift * mean, lift**2 * values + noise), GaussianLaw(0 * mean, noise))
                for s, start in enumerate(starts):
                    made, spread = push(sampler, denoise, start, ts)
                    made, spread = made / float(last.mean), spread / float(last.mean) ** 2
                    found[0, s, i, j, k] = thermo.kullback_leibler(spread, goal, made - mean)
                    found[1, s, i, j, k] = thermo.wasserstein(spread, goal, made - mean)
    return found
