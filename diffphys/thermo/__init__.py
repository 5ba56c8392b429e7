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
from .phase_diagram import phase_diagram as phase_diagram
from .random_energy import RandomEnergy as RandomEnergy, random_energy as random_energy
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
    separation as separation,
    sign_agreement as sign_agreement,
    threshold as threshold,
)
