"""What the options of the commands that have a few values can be."""

import enum


class Estimator(enum.StrEnum):
    """Which curves are made."""

    POSTERIOR = "posterior"
    CLONES = "clones"
    THEORY = "theory"
    ALL = "all"


class Model(enum.StrEnum):
    """Solvable models."""

    MIXTURE = "mixture"


class ThermoModel(enum.StrEnum):
    """Models with a symmetry to break."""

    TWO_DELTAS = "two-deltas"
    FOUR_DELTAS = "four-deltas"
    SPHERE = "sphere"
    CURIE_WEISS = "curie-weiss"
    ISING_RING = "ising-ring"
    MIXTURE = "mixture"


class Precision(enum.StrEnum):
    """Type of the states; tables of coefficients are float64 always."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class SamplerName(enum.StrEnum):
    """How clones move."""

    DPM_SOLVER = "dpm-solver"
    BRIDGE = "bridge"
    REVERSE_SDE = "reverse-sde"


class Network(enum.StrEnum):
    """Kinds of networks."""

    UNET = "unet"
    MLP = "mlp"


class Compute(enum.StrEnum):
    """Types that the layers of a network compute in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Generator(enum.StrEnum):
    """Samplers that need a process and a denoiser only; the last eight run in phase space."""

    ANNEALED_LANGEVIN = "annealed-langevin"
    BRIDGE = "bridge"
    DDIM = "ddim"
    DEIS = "deis"
    DPM_SOLVER2 = "dpm-solver2"
    DPM_SOLVER_MULTISTEP = "dpm-solver-multistep"
    EDM = "edm"
    EXPONENTIAL_SDE = "exponential-sde"
    FLOW_ADAMS = "flow-adams"
    PNDM = "pndm"
    PREDICTOR_CORRECTOR = "predictor-corrector"
    PROBABILITY_FLOW = "probability-flow"
    REVERSE_SDE = "reverse-sde"
    SA_SOLVER = "sa-solver"
    SEEDS2 = "seeds2"
    UNIPC = "unipc"
    CONJUGATE = "conjugate"
    CONJUGATE_SYMPLECTIC_EULER = "conjugate-symplectic-euler"
    CONJUGATE_VELOCITY_VERLET = "conjugate-velocity-verlet"
    OBA = "oba"
    OBAB = "obab"
    SSCS = "sscs"
    SYMPLECTIC_EULER = "symplectic-euler"
    VELOCITY_VERLET = "velocity-verlet"
