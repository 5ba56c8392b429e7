from .collapse_times import (
    collapse_time as collapse_time,
    collapse_time_isotropic as collapse_time_isotropic,
    collapse_variance as collapse_variance,
    collapse_width as collapse_width,
    effective_dimension as effective_dimension,
    excess_entropy as excess_entropy,
    log_capacity as log_capacity,
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
from .gaussian_distances import (
    kullback_leibler as kullback_leibler,
    total_variation as total_variation,
    wasserstein as wasserstein,
)
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
from .two_classes import (
    agreement as agreement,
    agreement_orthogonal as agreement_orthogonal,
    class_information as class_information,
    separation as separation,
    sign_agreement as sign_agreement,
    threshold as threshold,
)
