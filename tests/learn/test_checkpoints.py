"""The folder of a model: what is found to be of another run, gone by, or damaged, and how it is named."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import optax
import orbax.checkpoint
import pytest

from diffphys.learn import DenoisingScoreMatching, LogNormalLevels, MLPConfig, TrainingConfig, load, train
from diffphys.learn.weights import noise_weight, score_weight

ROOT = pathlib.Path(__file__).parents[2]
POINTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def _as_optax_needs():
    with jax.numpy_dtype_promotion("standard"):
        yield


def run(folder, **options):
    return train(POINTS, MLPConfig(8, 1, embedding=8), TrainingConfig(4, 8, save_every=1), checkpoint=folder, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder at its fourth step, with its last state and its best."""
    folder = tmp_path_factory.mktemp("model")
    with jax.numpy_dtype_promotion("standard"):
        run(folder)
    return folder


@pytest.fixture
def model(whole, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """A folder whose objective was given."""
    folder = tmp_path_factory.mktemp("matched")
    with jax.numpy_dtype_promotion("standard"):
        run(folder, objective=matching(-1.2, noise_weight))
    return folder


def matching(mean, weight):
    return DenoisingScoreMatching(LogNormalLevels(mean), weight)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"objective": matching(0.0, noise_weight)}, r"objective.levels.mean: -1.2 there, 0.0 now"),
        ({"objective": matching(-1.2, score_weight)}, r"objective.weight: noise_weight there, score_weight now"),
        ({}, r"objective: \(absent\) there, None now"),
        ({"objective": matching(-1.2, noise_weight), "optimizer": optax.sgd(0.1)}, "optimizer: Adam there, given now"),
    ],
)
def test_a_run_is_not_resumed_with_another_objective_or_optimizer(change, match, matched):
    with pytest.raises(ValueError, match=match):
        run(matched, resume=True, **change)


def test_a_folder_in_which_another_run_trains_is_refused_until_that_ends(tmp_path):
    """However it ends: here it is killed."""
    run(tmp_path)
    claim = f"claimed(pathlib.Path({str(tmp_path)!r}), 'checkpoint')"
    code = (
        f"import pathlib, time\nfrom diffphys._files import claimed\nwith {claim}:\n print(flush=True)\n time.sleep(99)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    other.stdout.readline()
    try:
        with pytest.raises(ValueError, match=r"`checkpoint` needs a folder in which no other run is writing. Got `.*"):
            run(tmp_path, resume=True)
        assert load(tmp_path).step == 4
    finally:
        other.kill()
        other.communicate()
    assert run(tmp_path, resume=True).step == 4


def test_a_run_claims_its_folder_from_its_first_step_to_its_last(tmp_path):
    def again(step, _):
        with pytest.raises(ValueError, match="no other run is writing"):
            run(tmp_path, resume=True)
        seen.append(step)

    seen = []
    run(tmp_path, on_save=again)
    assert seen == [1, 2, 3, 4]
    # What is refused leaves it to others too.
    with pytest.raises(ValueError, match="empty folder, or `resume`"):
        run(tmp_path)
    assert run(tmp_path, resume=True).step == 4


def test_milestones_that_are_gone_by_are_refused(model):
    kept = sorted(int(path.name) for path in (model / "checkpoints").iterdir())
    gone = min({1, 2, 3} - set(kept))
    with pytest.raises(ValueError, match=rf"kept or to come. Got \[{gone}\] in .*, which is at 4"):
        run(model, resume=True, milestones=(gone,))
    assert run(model, resume=True, milestones=tuple(kept)).step == 4


def _cut(path):
    path.write_bytes(path.read_bytes()[:8])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: shutil.rmtree(state / "model"),
        lambda state: [_cut(path) for path in (state / "model").rglob("*") if path.is_file()],
        lambda state: _cut(state / "metrics" / "metrics"),
    ],
    ids=["without the model", "cut off", "without its loss"],
)
def test_a_damaged_state_is_named_with_its_place(spoil, model):
    spoil(model / "checkpoints" / "4")
    for use in (load, functools.partial(run, resume=True)):
        with pytest.raises(ValueError, match=r"needs whole states. Got a damaged one in `.*checkpoints"):
            use(model)


@pytest.mark.parametrize(
    ("said", "kind", "match"),
    [
        ("RESOURCE_EXHAUSTED: Error writing: No space left on device [os_error_code='28']\nand more", OSError,
         r"a folder that can be written. Got .*: No space left on device \[os_error_code='28'\]. States that it has"),
        ("A process does not answer.", ValueError, r"^A process does not answer\.$"),
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_written_stops_the_run_and_leaves_those_before_it(
    said, kind, match, tmp_path, monkeypatch
):
    save = orbax.checkpoint.CheckpointManager.save

    def broken(self, step, **options):
        if step == 3:
            raise ValueError(said)
        return save(self, step, **options)

    monkeypatch.setattr(orbax.checkpoint.CheckpointManager, "save", broken)
    with pytest.raises(kind, match=match):
        run(tmp_path)
    monkeypatch.undo()
    assert load(tmp_path).step == 2


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a model"):
        load(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / "model.json").write_text(text)
        for use in (load, run):
            with pytest.raises(ValueError, match="`folder` needs a whole model"):
                use(tmp_path)


@pytest.mark.parametrize(
    "change", [{"network": {"kind": "CNN"}}, {"network": {"kind": "MLPConfig", "size": 2}}, {"training": {"epochs": 3}}]
)
def test_a_model_that_is_described_in_other_words_is_refused(change, model):
    file = model / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match="a model of this release"):
        load(model)


def test_a_gaussian_that_does_not_fit_its_model_is_refused(model):
    np.savez(model / "preconditioning.npz", mean=np.zeros(2), basis=np.eye(2), eigenvalues=np.ones(2), rest=0.0)
    with pytest.raises(ValueError, match="`shape` of 2 numbers"):
        load(model)
    np.savez(model / "preconditioning.npz", mean=np.zeros(3))
    with pytest.raises(ValueError, match="described otherwise: 'basis'"):
        load(model)
