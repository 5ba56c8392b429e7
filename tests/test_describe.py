"""Every parameter is known by name: in the attributes of a result, and to a journal that refuses another run."""

import functools
import json

import jax
import numpy as np
import pytest

import diffphys as dp
from diffphys._config import canonical
from diffphys._describe import describe_process, described, kind_of

OU = dp.OrnsteinUhlenbeck()


def mixture(weight=0.3):
    return dp.symmetric_mixture(np.full(4, 1.0), 1.0, weight)


def test_modules_are_told_by_their_kind_and_fields():
    sampler = dp.DPMSolverMultistep(dp.OrnsteinUhlenbeck(2.0), mixture().posterior_mean, stochastic=True)
    assert json.loads(canonical(described(sampler))) == {
        "kind": "DPMSolverMultistep", "order": 2, "stochastic": True, "denoise": "IsotropicMixture.posterior_mean",
        "process": {"kind": "OrnsteinUhlenbeck", "temperature": 2.0},
    }  # fmt: skip
    assert describe_process(OU) == {"process": "OrnsteinUhlenbeck", "temperature": 1.0}


def test_messages_tell_a_class_from_one_of_it():
    assert kind_of(OU) == "`OrnsteinUhlenbeck`"
    assert kind_of(dp.OrnsteinUhlenbeck) == "the class `OrnsteinUhlenbeck`"


def test_functions_are_told_by_their_names_and_what_is_bound_to_them():
    assert described(dp.clocks.log_snr_grid) == "log_snr_grid"
    assert described(functools.partial(dp.clocks.log_snr_grid, 2.0, steps=3)) == {
        "kind": "log_snr_grid", "arguments": [2.0], "steps": 3,
    }  # fmt: skip
    assert described({"key": jax.random.key(5), "none": None})["key"].tolist() == [0, 5]


def test_data_sets_are_told_by_their_size_and_mean():
    points = np.random.default_rng(0).normal(size=(20, 3))
    first, same, other = (described(dp.Empirical(p)) for p in (points, points.copy(), points + 1e-3))
    assert (first["n"], first["d"]) == (20, 3)
    assert canonical(first) == canonical(same) != canonical(other)


def test_a_result_has_every_parameter():
    sampler = dp.ReverseSDE(OU, mixture().posterior_mean)
    ds = dp.speciation(mixture(), OU, [0.5, 1.0], key=jax.random.key(0), samples=32, clones=8, steps=2, sampler=sampler)
    config = json.loads(ds.attrs["config"])
    assert config["target"]["log_weights"] == pytest.approx([np.log(0.3), np.log(0.7)])
    assert config["clones"]["sampler"]["noise_level"] == 1.0
    assert config["clones"]["grid"] == "log_snr_grid"
    assert (config["samples"], config["clones"]["stop"], config["times"]) == (32, 0.25, [0.5, 1.0])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"key": 1}, "seed: [0, 0] there, [0, 1] now"),
        ({"times": [0.5, 2.0]}, "times: [0.5, 1.0] there, [0.5, 2.0] now"),
        ({"weight": 0.2}, "target.log_weights: ["),
        ({"sampler": "ReverseSDE"}, "sampler.kind: Bridge there, ReverseSDE now"),
        ({"steps": 4}, "steps: 2 there, 4 now"),
    ],
)
def test_a_journal_of_another_run_says_how_it_differs(tmp_path, change, named):
    def run(key=0, times=(0.5, 1.0), weight=0.3, sampler="Bridge", steps=2):
        target = mixture(weight)
        dp.speciation(
            target, OU, times, key=jax.random.key(key), samples=32, clones=8, steps=steps, checkpoint=tmp_path,
            sampler=getattr(dp, sampler)(OU, target.posterior_mean),
        )  # fmt: skip

    run()
    with pytest.raises(ValueError, match="another") as error:
        run(**change)
    assert named in str(error.value)
    assert "inputs" not in str(error.value)


def test_a_sampler_of_another_process_is_refused():
    denoise = mixture().posterior_mean
    for process in (dp.OrnsteinUhlenbeck(3.0), dp.PhaseSpaceLangevin()):
        with pytest.raises(ValueError, match="`sampler` needs the process of the experiment"):
            dp.speciation(mixture(), OU, [0.5], key=jax.random.key(0), clones=8, sampler=dp.Bridge(process, denoise))


def test_a_denoiser_of_other_data_is_refused():
    other = dp.symmetric_mixture(np.full(3, 1.0), 1.0)
    with pytest.raises(ValueError, match="`denoise` needs to take an observation of shape"):
        dp.speciation(
            mixture(), OU, [0.5], key=jax.random.key(0), clones=8, sampler=dp.Bridge(OU, other.posterior_mean)
        )
