"""What samplers refuse when they are made, and runs before they begin: each with what to do instead."""

import diffrax
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from linear_maps import gaussian_denoiser

import diffphys as dp
from diffphys.clocks import log_snr_grid
from diffphys.samplers._checks import check_denoiser

OU, PSLD, SCHEDULE = dp.OrnsteinUhlenbeck(), dp.PhaseSpaceLangevin(), dp.LinearSchedule(1.0, 2.0)
TARGET = dp.Gaussian(jnp.zeros(3), 0.5)
DENOISE = TARGET.posterior_mean
TS = log_snr_grid(3.0, 0.01, 10)

pytestmark = pytest.mark.usefixtures("unchecked")

OVERDAMPED = (
    dp.DDIM, dp.ExponentialSDE, dp.EDM, dp.DPMSolver2, dp.DPMSolverMultistep, dp.DEIS, dp.FlowAdams, dp.PNDM, dp.UniPC,
    dp.SEEDS2, dp.SASolver, dp.AnnealedLangevin, lambda *own: dp.AnalyticDDPM(*own, lambda t: 1.0),
)  # fmt: skip
IN_PHASE_SPACE = (
    dp.SSCS, dp.SymplecticEuler, dp.VelocityVerlet, dp.OBA, dp.OBAB, dp.ConjugateSymplecticEuler,
    dp.ConjugateVelocityVerlet,
)  # fmt: skip
ANY = (dp.ReverseSDE, dp.Bridge, dp.ProbabilityFlow, dp.Conjugate, lambda *own: dp.Langevin(*own, 0.3))
MAKERS = [*((make, OU) for make in (*OVERDAMPED, *ANY)), *((make, PSLD) for make in IN_PHASE_SPACE)]
RUNS = (
    dp.as_diffrax,
    lambda *own: dp.simulate_adaptive(*own, jr.key(0), jnp.zeros(3), 1.0, 0.1),
    lambda *own: dp.log_likelihood(*own, jnp.zeros(3), 0.1, 1.0),
    lambda *own: dp.mean_square_score(jr.key(0), *own, jnp.zeros((1, 3)), [0.5]),
)


@pytest.mark.parametrize("found", ["ou", None, dp.OrnsteinUhlenbeck, TARGET], ids=["word", "none", "class", "target"])
@pytest.mark.parametrize("make", [make for make, _ in MAKERS] + list(RUNS))
def test_what_is_no_process_is_refused(make, found):
    with pytest.raises(ValueError, match="needs a `process` such as `OrnsteinUhlenbeck"):
        make(found, DENOISE)


@pytest.mark.parametrize("found", [TARGET, None], ids=["target", "none"])
@pytest.mark.parametrize(("make", "process"), [*MAKERS, *((run, OU) for run in RUNS)])
def test_what_is_no_function_is_refused_with_what_to_give(make, process, found):
    with pytest.raises(ValueError, match=r"Got `(Gaussian|NoneType)`. Of a target do give its `posterior_mean`"):
        make(process, found)


@pytest.mark.parametrize("use", [dp.PredictorCorrector, lambda found: dp.simulate(found, jr.key(0), TS, jnp.ones(3))])
@pytest.mark.parametrize("found", [OU, dp.Bridge], ids=["process", "class"])
def test_what_is_no_sampler_is_refused(use, found):
    with pytest.raises(ValueError, match=r"needs a sampler, such as `Bridge\(process, denoise\)`"):
        use(found)


@pytest.mark.parametrize(
    ("process", "advised"),
    [(OU, False), (dp.ScheduledStationary(OU, SCHEDULE), False), (dp.Scheduled(PSLD, SCHEDULE), True)],
    ids=["overdamped", "overdamped scheduled", "scheduled"],
)
@pytest.mark.parametrize("make", IN_PHASE_SPACE)
def test_a_schedule_that_keeps_the_stationary_law_is_advised_where_only_that_law_is_missing(make, process, advised):
    with pytest.raises(ValueError, match="needs position and momentum with a stationary law") as refusal:
        make(process, DENOISE)
    assert ("do use `ScheduledStationary`" in str(refusal.value)) == advised


COUNTS = {
    "`Conjugate` needs `order` .* 1 or more": lambda n: dp.Conjugate(OU, DENOISE, order=n),
    "`conjugate_steps` needs `order`": lambda n: dp.conjugate_steps(OU, TS, dp.DataPrediction(), order=n),
    "`DEIS` needs `order` .* 1 to 4": lambda n: dp.DEIS(OU, DENOISE, n),
    "`FlowAdams` needs `order`": lambda n: dp.FlowAdams(OU, DENOISE, n),
    "`DPMSolverMultistep` needs `order`": lambda n: dp.DPMSolverMultistep(OU, DENOISE, order=n),
    "`UniPC` needs `order`": lambda n: dp.UniPC(OU, DENOISE, n),
    "`UniPC` needs `final_order`": lambda n: dp.UniPC(OU, DENOISE, final_order=n),
    "`SASolver` needs `predictor`": lambda n: dp.SASolver(OU, DENOISE, predictor=n),
    "`SASolver` needs `corrector`": lambda n: dp.SASolver(OU, DENOISE, corrector=n),
    "`AnnealedLangevin` needs `substeps`": lambda n: dp.AnnealedLangevin(OU, DENOISE, substeps=n),
    "`PredictorCorrector` needs `corrections`": lambda n: dp.PredictorCorrector(dp.Bridge(OU, DENOISE), corrections=n),
    "`log_likelihood` needs `probes`": lambda n: dp.log_likelihood(
        OU, DENOISE, jnp.zeros(3), 0.1, 1.0, key=jr.key(0), probes=n
    ),
    "`log_likelihood` needs `max_steps`": lambda n: dp.log_likelihood(OU, DENOISE, jnp.zeros(3), 0.1, 1.0, max_steps=n),
    "`simulate_adaptive` needs `max_steps`": lambda n: dp.simulate_adaptive(
        OU, DENOISE, jr.key(0), jnp.zeros(3), 1.0, 0.1, max_steps=n
    ),
}


@pytest.mark.parametrize("found", [2.5, 2.0, "2", True, -1], ids=str)
@pytest.mark.parametrize("message", COUNTS)
def test_a_count_that_is_no_whole_number_in_its_range_is_refused(message, found):
    with pytest.raises(ValueError, match=message):
        COUNTS[message](found)


@pytest.mark.parametrize("name", [name for name in COUNTS if "to 4" in name or "UniPC" in name])
def test_an_order_beyond_the_last_is_refused(name):
    COUNTS[name](2)
    with pytest.raises(ValueError, match=name):
        COUNTS[name](5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dp.OBA(PSLD, DENOISE, position_noise=0.5), r"`OBA` needs `position_noise` to be a `NoiseControl"),
        (lambda: dp.OBAB(PSLD, DENOISE, position_noise=0.5), r"`OBAB` needs `position_noise` to be a `NoiseControl"),
        (lambda: dp.EDM(OU, DENOISE, noise_range=1.0), "`EDM` needs a `noise_range` with 0 <= low <= high, a pair"),
        (lambda: dp.Conjugate(OU, DENOISE, damping=np.nan), "`damping` needs a finite number or 1 x 1 matrix"),
        (lambda: dp.Conjugate(OU, DENOISE, damping=np.ones((2, 2))), "`damping` needs a finite number or 1 x 1 matrix"),
        (lambda: dp.Conjugate(PSLD, DENOISE, damping=np.ones(2)), "`damping` needs a finite number or 2 x 2 matrix"),
        (lambda: dp.Conjugate(PSLD, DENOISE, damping="x"), "`damping` needs a finite number or 2 x 2 matrix"),
        (lambda: dp.stability(dp.DDIM(OU, DENOISE), TS, 0.5), "`stability` needs `slopes` in a row"),
        (lambda: dp.stability(dp.DDIM(OU, DENOISE), TS, ()), "`stability` needs `slopes` in a row"),
        (lambda: dp.stability(dp.DDIM(OU, DENOISE), TS, (np.nan,)), "`stability` needs `slopes` in a row"),
    ],
)
def test_what_is_of_another_kind_is_refused_when_it_is_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": diffrax.Euler()}, "`solver` of diffrax with an estimate of its error"),
        ({"solver": diffrax.Tsit5}, "`solver` of diffrax with an estimate of its error"),
        ({"tolerance": 0.0}, "a finite `tolerance > 0`"),
        ({"tolerance": np.nan}, "a finite `tolerance > 0`"),
        ({"probes": 4}, "a `key` for its `probes`"),
    ],
)
def test_a_likelihood_refuses_what_it_cannot_use(settings, message):
    with pytest.raises(ValueError, match=message):
        dp.log_likelihood(OU, DENOISE, jnp.zeros(3), 0.1, 1.0, **settings)


@pytest.mark.parametrize("settings", [{"t_max": 1.0}, {"noise_level": 1.0}])
def test_settings_of_a_reverse_diffusion_are_refused_for_the_flow(settings):
    with pytest.raises(ValueError, match=f"needs a Brownian `path` with `{next(iter(settings))}`"):
        dp.as_diffrax(OU, DENOISE, **settings)


STATES = {
    "batch": (OU, (5, 3), r"`z` needs shape \(d,\), one state at a time"),
    "phase space": (OU, (2, 3), r"`z` needs shape \(d,\), one state at a time"),
    "number": (OU, (), r"`z` needs shape \(d,\), one state at a time"),
    "position": (PSLD, (3,), r"`z` needs shape \(2, d\), one state at a time"),
    "three variables": (PSLD, (3, 3), r"`z` needs shape \(2, d\), one state at a time"),
    "batch in phase space": (PSLD, (5, 2, 3), r"`z` needs shape \(2, d\), one state at a time"),
    "another dimension": (OU, (4,), r"`denoise` needs to take an observation of shape \(4,\).*for data of d = 4"),
}


DRIVERS = {
    "simulate": lambda process, z: dp.simulate(dp.Bridge(process, DENOISE), jr.key(0), TS, z),
    "adaptive": lambda process, z: dp.simulate_adaptive(process, DENOISE, jr.key(0), z, 1.0, 0.1),
    "likelihood": lambda process, z: dp.log_likelihood(process, DENOISE, z, 0.1, 1.0),
}


@pytest.mark.parametrize("run", DRIVERS)
@pytest.mark.parametrize("name", STATES)
def test_what_is_not_one_state_of_the_process_is_refused(name, run):
    """The denoiser of a Gaussian takes a batch without a word: nothing but the state tells."""
    process, shape, message = STATES[name]
    with pytest.raises(ValueError, match=message):
        DRIVERS[run](process, jnp.zeros(shape))


def test_a_shape_is_checked_as_a_state_is():
    check_denoiser(DENOISE, jax.ShapeDtypeStruct((2, 3), jnp.float64), PSLD)
    with pytest.raises(ValueError, match="one state at a time"):
        check_denoiser(DENOISE, jax.ShapeDtypeStruct((7, 3), jnp.float64), OU)


def test_states_under_vmap_pass_as_one():
    sampler = dp.DDIM(OU, gaussian_denoiser(0.3))
    keys = jr.split(jr.key(0), 4)
    assert jax.vmap(lambda key, z: dp.simulate(sampler, key, TS, z))(keys, jnp.ones((4, 1))).shape == (4, 1)


@pytest.mark.parametrize("process", [OU, PSLD], ids=["ou", "psld"])
def test_what_a_denoiser_raises_is_told(process):
    def denoise(y, v):
        raise KeyError("no such layer")

    with pytest.raises(ValueError, match=r"Got KeyError: 'no such layer'") as refusal:
        dp.simulate(dp.Bridge(process, denoise), jr.key(0), TS, jnp.zeros((*np.shape(process.start()[0]), 3)))
    assert isinstance(refusal.value.__cause__, KeyError)


@pytest.mark.parametrize("run", DRIVERS)
@pytest.mark.parametrize(
    ("state", "estimate", "message"),
    [
        ("float32", "float64", "that states of float32 hold. Got float64. Do start from one of float64"),
        ("bfloat16", "float32", "that states of bfloat16 hold. Got float32"),
        ("bfloat16", "float16", "that states of bfloat16 hold. Got float16"),
        ("float32", "int32", "needs to return floating-point numbers. Got int32"),
    ],
)
def test_an_estimate_that_the_state_cannot_hold_is_refused(run, state, estimate, message, monkeypatch):
    monkeypatch.setitem(globals(), "DENOISE", lambda y, v: (y / 2).astype(estimate))
    with pytest.raises(ValueError, match=message):
        DRIVERS[run](OU, jnp.zeros(3, state))


def test_what_asks_for_numbers_is_told_how_they_are_called_back():
    with pytest.raises(ValueError, match=r"`denoise` needs to compute in jax.*`jax.pure_callback`"):
        dp.simulate(dp.DDIM(OU, lambda y, v: jnp.asarray(np.asarray(y))), jr.key(0), TS, jnp.zeros(3))


def test_a_denoiser_of_the_variance_first_is_told_the_order():
    with pytest.raises(ValueError, match=r"It is called as `denoise\(y, v\)`; give one"):
        dp.simulate(dp.DDIM(OU, lambda v, y: DENOISE(y, v)), jr.key(0), TS, jnp.zeros(3))


def test_a_plan_without_a_step_is_refused_in_plain_words():
    with pytest.raises(ValueError, match=r"`ts` needs at least two times, one step, for `DDIM`\. Got no step"):
        dp.DDIM(OU, DENOISE).plan(TS[:1])


@pytest.mark.parametrize("clock", [lambda t, v: 0 * t, lambda t, v: (t - 0.5) ** 2, lambda t, v: 0.0])
@pytest.mark.parametrize("process", [OU, PSLD], ids=["ou", "psld"])
def test_a_clock_that_does_not_run_one_way_is_refused(process, clock):
    with pytest.raises(ValueError, match="`clock` needs to run one way along the grid"):
        dp.Conjugate(process, DENOISE, order=2, clock=clock).plan(TS)


@pytest.mark.parametrize("data", [jnp.zeros((0, 3)), jnp.zeros(3), jnp.zeros((4, 0))], ids=["none", "one", "flat"])
def test_a_mean_over_no_data_is_refused(data):
    with pytest.raises(ValueError, match=r"`mean_square_score` needs `data` of shape \(n, d\)"):
        dp.mean_square_score(jr.key(0), OU, DENOISE, data, [0.5])


@pytest.mark.parametrize("values", [lambda t: np.nan, np.full(TS.size, np.inf)], ids=["function", "values"])
def test_a_mean_square_that_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="`mean_square_score` needs finite values"):
        dp.AnalyticDDPM(OU, DENOISE, values).plan(TS)


def test_where_there_is_no_score_no_correction_is_made():
    """At the centre of a Gaussian; elsewhere there is one, and its derivative is finite at both."""
    flow = dp.ProbabilityFlow(OU, DENOISE)
    corrected = dp.PredictorCorrector(flow)
    z = jnp.zeros(3)
    np.testing.assert_array_equal(dp.simulate(corrected, jr.key(0), TS, z), z)
    assert (dp.simulate(corrected, jr.key(0), TS, z + 0.1) != dp.simulate(flow, jr.key(0), TS, z + 0.1)).all()
    slope = jax.grad(lambda z: dp.simulate(corrected, jr.key(0), TS, z).sum())
    assert jnp.isfinite(slope(z)).all()
    assert jnp.isfinite(slope(z + 0.1)).all()
