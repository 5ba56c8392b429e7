"""One command in several processes, on one machine as on many: the same results, and a clear end if one is lost."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import diffphys as dp
from diffphys._commands import _hosts
from diffphys._journal import Journal
from diffphys.cli import app

ROOT = pathlib.Path(dp.__file__).parent.parent
# Loopback sockets close at once; elsewhere JAX takes a minute of silence.
SOON = 30
LONG = ["speciation", "--target", "mixture", "--dim", 64, "--samples", 64, "--times", "0.8,1.6", "--steps", 64,
        "--clones", 2000]  # fmt: skip


def start(count, *arguments, devices=1, folders=None):
    """So many processes of one command, each with so many devices, and in its own working folder if any are given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    hosts = [["--hosts", f"{address},{count},{i}"] if count > 1 else [] for i in range(count)]
    return [
        subprocess.Popen([sys.executable, "-m", "diffphys", *own, *map(str, arguments)], cwd=folder, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for own, folder in zip(hosts, folders or count * [None], strict=True)
    ]  # fmt: skip


def finish(processes, timeout=300):
    return [(*process.communicate(timeout=timeout), process.returncode) for process in processes]


def run(count, *arguments, **options):
    """What so many processes print, if all go well."""
    ended = finish(start(count, *arguments, **options))
    assert [status for *_, status in ended] == [0] * count, ended
    return [out for out, *_ in ended]


def assert_same_numbers(one, other, **tolerance):
    ours, theirs = dp.results.load(one), dp.results.load(other)
    assert set(ours.variables) == set(theirs.variables)
    for name, variable in ours.variables.items():
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(theirs[name].values, variable.values, err_msg=str(name), **tolerance)
        else:
            np.testing.assert_array_equal(theirs[name].values, variable.values, err_msg=str(name))


def journalled(folder, chunks, processes):
    """Waits until so many chunks of the clones are kept."""
    journal = folder / ".speciation-checkpoint" / "speciation-clones"
    while all(process.poll() is None for process in processes):
        if len(list(journal.glob("[0-9]*.npz"))) >= chunks:
            return
        time.sleep(0.05)
    pytest.fail(f"ended too soon: {finish(processes)}")


SHORT = ["speciation", "--target", "mixture", "--dim", 8, "--estimator", "clones", "--times", "0.8,1.2", "--clones", 32,
         "--steps", 4, "--chunk", 16, "--out"]  # fmt: skip


def assert_two_measured_what_one_does(folder):
    """Compares what two processes of the short command have left in `two` of a folder with what one leaves."""
    assert sorted(path.name for path in (folder / "two").iterdir()) == ["speciation.nc", "speciation.png"]
    assert dp.results.load(folder / "two" / "speciation.nc").attrs["device_count"] == 2
    assert CliRunner().invoke(app, [*map(str, SHORT), str(folder / "one")]).exit_code == 0
    assert_same_numbers(folder / "one" / "speciation.nc", folder / "two" / "speciation.nc", atol=1e-5)


def test_two_processes_measure_what_one_does(tmp_path):
    ended = finish(start(2, *SHORT, tmp_path / "two"))
    assert [status for *_, status in ended] == [0, 0], ended
    assert not any("fork" in err for _, err, _ in ended)
    first, second = (out for out, *_ in ended)
    assert "t_S" in first
    assert "Saved" in first
    assert "t_S" not in second
    assert_two_measured_what_one_does(tmp_path)


@pytest.mark.slow
def test_two_tasks_of_slurm_find_each_other_and_measure_what_one_process_does(tmp_path):
    if shutil.which("srun") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("needs a SLURM cluster: `sinfo` names none")
    words = [sys.executable, "-m", "diffphys", "--hosts", "auto", *map(str, SHORT), str(tmp_path / "two")]
    flags = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    done = subprocess.run(["srun", "--ntasks", "2", *words], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("t_S") == 1
    assert_two_measured_what_one_does(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 3])
def test_a_run_that_lost_a_process_stops_and_goes_on_in_another_number_of_them(tmp_path, lost):
    command = [*LONG, "--out"]
    run(1, *command, tmp_path / "whole", "--chunk", 20)
    processes = start(4, *command, tmp_path / "lost", "--chunk", 20)
    journalled(tmp_path / "lost", 3, processes)
    processes[lost].kill()
    began = time.monotonic()
    for i, (_, err, status) in enumerate(finish(processes)):
        assert status != 0
        assert f"process {i} of 4" in err
        assert "Run the same command with --resume to go on, with any number of devices." in err
    assert time.monotonic() - began < SOON
    # Two processes of three devices: the chunk of the journal, 20, is no multiple of them.
    run(2, *command, tmp_path / "lost", "--resume", devices=3)
    assert_same_numbers(tmp_path / "whole" / "speciation.nc", tmp_path / "lost" / "speciation.nc", atol=1e-5)


@pytest.mark.slow
def test_a_folder_that_only_one_process_sees_is_named(tmp_path):
    command = [*LONG, "--chunk", 20]
    processes = start(1, *command, "--out", tmp_path / "here")
    journalled(tmp_path / "here", 3, processes)
    processes[0].terminate()
    finish(processes)
    # Each resolves the same relative path in its own working folder, as on hosts that share nothing.
    (tmp_path / "elsewhere").mkdir()
    folders = tmp_path, tmp_path / "elsewhere"
    ended = finish(start(2, *command, "--out", "here", "--resume", folders=folders))
    assert all(status != 0 for *_, status in ended)
    assert any("needs a folder that all processes share" in err for _, err, _ in ended)
    assert any("here/.speciation-checkpoint" in err for _, err, _ in ended)


@pytest.mark.slow
def test_all_processes_of_a_run_into_the_folder_of_another_one_end_with_its_refusal(tmp_path):
    with Journal(tmp_path / ".speciation-checkpoint" / "speciation-clones", {}).alone():
        began = time.monotonic()
        ended = finish(start(2, *LONG, "--out", tmp_path))
    assert time.monotonic() - began < SOON
    assert [status for *_, status in ended] == [2, 2]
    first, second = (err.strip().splitlines()[-1] for _, err, _ in ended)
    assert first == second
    assert "needs a folder in which no other run is writing" in first


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_go_on_after_a_loss(tmp_path):
    command = ["train", "--network", "mlp", "--channels", 16, "--blocks", 1, "--batch", 16, "--save-every", 20,
               "--steps", 300, "--out"]  # fmt: skip
    run(1, *command, tmp_path / "one")
    processes = start(2, *command, tmp_path / "two")
    while all(process.poll() is None for process in processes):
        if (tmp_path / "two" / "checkpoints" / "40").is_dir():
            break
        time.sleep(0.05)
    processes[1].kill()
    began = time.monotonic()
    for *_, err, status in finish(processes):
        assert status != 0
        assert "Run the same command with --resume" in err
    assert time.monotonic() - began < _hosts.SILENCE + SOON
    run(2, *command, tmp_path / "two", "--resume")
    for name in ("history.nc", "errors.nc"):
        assert_same_numbers(tmp_path / "one" / name, tmp_path / "two" / name, rtol=1e-4, atol=1e-6)
    made = json.loads((tmp_path / "two" / "model.json").read_text())
    assert made == json.loads((tmp_path / "one" / "model.json").read_text())


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os.kill(os.getpid(), 9)", "diffphys: process 1 of 2 was killed, or stopped for the loss of another one. Run"),
        ("os._exit(1)", "process 1 of 2 was killed, or stopped"),
        ("_hosts._told = told; _hosts.stop(2)", ""),
    ],
)
def test_a_witness_says_how_to_go_on_unless_the_process_ended_by_itself(end, told):
    code = "import os; from diffphys._commands import _hosts; told = _hosts._witness(); "
    code += f"os.write(told, b'process 1 of 2'); {end}"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert (told in ended.stderr) if told else ended.stderr == ""


@pytest.mark.parametrize("text", ["here", "here,2,0", "here:1,2", "here:1,2,one", "here:1,2,2"])
def test_hosts_that_mean_nothing_are_refused(text):
    result = CliRunner().invoke(app, ["--hosts", text, "info"])
    assert result.exit_code == 2
    assert "--hosts needs" in result.output


def test_the_place_of_a_process_is_read_from_its_text():
    assert _hosts._settings("auto") == {}
    assert _hosts._settings("10.0.0.1:99,4,3") == {
        "coordinator_address": "10.0.0.1:99", "num_processes": 4, "process_id": 3
    }  # fmt: skip
