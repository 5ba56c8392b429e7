"""Thermodynamics and theory: of any denoiser, of two classes, of data, of magnets, and of learned Gaussians.

- Of any denoiser or target: `free_energy`, `stability_matrix`, `leading_modes`, `susceptibility`, `fixed_point`,
  `continue_branch`, `critical_points`, `landau`, `critical_exponents`, `landscape`, `profile`, `along_trajectory`.
- Of two classes: `separation`, `agreement`, `class_information`, `critical_times`, `crossing_time`.
- Of data: `spectral_time`, `collapse_variance`, `collapse_time`, `excess_entropy`, `effective_dimension`,
  `random_energy`.
- Of magnets and memories: `finite_magnet`, `magnetisation_potential`, `hopfield_energy`, `retrieve`.
- Of learned Gaussians: `averaged`, `unconstrained`, `generated_covariance`, `spectral_law`, `wasserstein`,
  `kullback_leibler`, `total_variation`.
"""

from .along_trajectory import along_trajectory as along_trajectory
from .branches import continue_branch as continue_branch, switch_branch as switch_branch
from .collapse_times import (
    collapse_time as collapse_time,
    collapse_time_isotropic as collapse_time_isotropic,
    collapse_variance as collapse_variance,
    collapse_width as collapse_width,
    effective_dimension as effective_dimension,
    excess_entropy as excess_entropy,
    log_capacity as log_capacity,
)
from .critical import (
    DriftMap as DriftMap,
    critical_points as critical_points,
    critical_variance as critical_variance,
    spectral_eigenvalue as spectral_eigenvalue,
)
from .critical_times import (
    CriticalTimes as CriticalTimes,
    critical_times as critical_times,
    crossing_time as crossing_time,
)
from .curie_weiss import (
    FiniteMagnet as FiniteMagnet,
    finite_magnet as finite_magnet,
    magnet_separation as magnet_separation,
    magnet_speciation_time as magnet_speciation_time,
    magnetisation_drift as magnetisation_drift,
    magnetisation_potential as magnetisation_potential,
    spontaneous_magnetisation as spontaneous_magnetisation,
    state_susceptibility as state_susceptibility,
    state_weight as state_weight,
)
from .exponents import (
    CriticalExponents as CriticalExponents,
    PowerLaw as PowerLaw,
    critical_exponents as critical_exponents,
    power_law as power_law,
)
from .fixed_points import FixedPoint as FixedPoint, fixed_point as fixed_point
from .free_energy import (
    free_energy as free_energy,
    magnetisation as magnetisation,
    regularised_free_energy as regularised_free_energy,
)
from .gaussian_distances import (
    kullback_leibler as kullback_leibler,
    total_variation as total_variation,
    wasserstein as wasserstein,
)
from .hopfield import (
    classical_energy as classical_energy,
    free_energy_bias as free_energy_bias,
    hebbian_weights as hebbian_weights,
    hopfield_energy as hopfield_energy,
    hopfield_update as hopfield_update,
    retrieve as retrieve,
    retrieve_classical as retrieve_classical,
    sign_sweep as sign_sweep,
)
from .landau import Landau as Landau, landau as landau
from .landscape import barrier_variance as barrier_variance, landscape as landscape, profile as profile
from .linear_scores import (
    SecondMoments as SecondMoments,
    averaged as averaged,
    bayes_loss as bayes_loss,
    commuting as commuting,
    draw_second_moments as draw_second_moments,
    exact_precision as exact_precision,
    generated_covariance as generated_covariance,
    generated_spectrum as generated_spectrum,
    second_moments as second_moments,
    symmetric as symmetric,
    unconstrained as unconstrained,
    unconstrained_error as unconstrained_error,
)
from .phase_diagram import phase_diagram as phase_diagram
from .random_energy import RandomEnergy as RandomEnergy, random_energy as random_energy
from .sample_covariance import (
    SpectralLaw as SpectralLaw,
    expected_kullback_leibler as expected_kullback_leibler,
    expected_total_variation as expected_total_variation,
    expected_wasserstein as expected_wasserstein,
    golden_rule_participation as golden_rule_participation,
    marchenko_pastur_edges as marchenko_pastur_edges,
    mean_root_eigenvalue as mean_root_eigenvalue,
    participation as participation,
    spectral_law as spectral_law,
)
from .spectrum import (
    SpectralTime as SpectralTime,
    covariance_spectrum as covariance_spectrum,
    spectral_time as spectral_time,
)
from .stability import (
    Modes as Modes,
    leading_modes as leading_modes,
    stability_matrix as stability_matrix,
    susceptibility as susceptibility,
)
from .two_classes import (
    agreement as agreement,
    agreement_orthogonal as agreement_orthogonal,
    class_information as class_information,
    gaussian_divergence as gaussian_divergence,
    separation as separation,
    sign_agreement as sign_agreement,
    threshold as threshold,
)

# Without it `help` shows none of them.
__all__ = [
    "CriticalExponents", "CriticalTimes", "DriftMap", "FiniteMagnet", "FixedPoint", "Landau", "Modes", "PowerLaw",
    "RandomEnergy", "SecondMoments", "SpectralLaw", "SpectralTime", "agreement", "agreement_orthogonal",
    "along_trajectory", "averaged", "barrier_variance", "bayes_loss", "class_information", "classical_energy",
    "collapse_time", "collapse_time_isotropic", "collapse_variance", "collapse_width", "commuting", "continue_branch",
    "covariance_spectrum", "critical_exponents", "critical_points", "critical_times", "critical_variance",
    "crossing_time", "draw_second_moments", "effective_dimension", "exact_precision", "excess_entropy",
    "expected_kullback_leibler", "expected_total_variation", "expected_wasserstein", "finite_magnet", "fixed_point",
    "free_energy", "free_energy_bias", "gaussian_divergence", "generated_covariance", "generated_spectrum",
    "golden_rule_participation", "hebbian_weights", "hopfield_energy", "hopfield_update", "kullback_leibler",
    "landau", "landscape", "leading_modes", "log_capacity", "magnet_separation", "magnet_speciation_time",
    "magnetisation", "magnetisation_drift", "magnetisation_potential", "marchenko_pastur_edges",
    "mean_root_eigenvalue", "participation", "phase_diagram", "power_law", "profile", "random_energy",
    "regularised_free_energy", "retrieve", "retrieve_classical", "second_moments", "separation", "sign_agreement",
    "sign_sweep", "spectral_eigenvalue", "spectral_law", "spectral_time", "spontaneous_magnetisation",
    "stability_matrix", "state_susceptibility", "state_weight", "susceptibility", "switch_branch", "symmetric",
    "threshold", "total_variation", "unconstrained", "unconstrained_error", "wasserstein",
]  # fmt: skip
