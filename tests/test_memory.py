"""Memory: of the machine, or of the control groups of Linux that a container or a job is in."""

import pathlib

import psutil
import pytest

from diffphys._memory import available_bytes

MACHINE = 10_000
NEW = {"sys/fs/cgroup": ("0::/", "memory.max", "memory.current", "")}
OLD = {"sys/fs/cgroup/memory": ("4:memory:/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")}


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    machine = type("Machine", (), {"available": MACHINE})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)


def grouped(root, version, limits, path="job/step"):
    """The files of Linux for a process in the groups of `path`: what each, by its folder, may have and has."""
    [(mount, (line, most, used, total))] = version.items()
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:cpu:/{path}\n{line}{path}\n")
    for folder, (limit, usage, files) in limits.items():
        group = root / mount / folder
        group.mkdir(parents=True, exist_ok=True)
        (group / most).write_text(f"{limit}\n")
        (group / used).write_text(f"{usage}\n")
        # In the first version the groups within are told apart.
        own = "active_file 7\ninactive_file 7\n" if total else ""
        stat = f"anon 99\n{own}{total}inactive_file {files}\n{total}active_file {files}\n{total}inactive_anon 99\n"
        (group / "memory.stat").write_text(stat)
    return root


VERSIONS = pytest.mark.parametrize("version", [NEW, OLD], ids=["v2", "v1"])


@VERSIONS
def test_less_than_the_machine_has_is_left_of_a_limit(tmp_path, version):
    """Files that the system holds in memory are no memory taken."""
    assert available_bytes(grouped(tmp_path, version, {"job/step": (3000, 1000, 100)})) == 3000 - 1000 + 200


@VERSIONS
def test_the_least_of_all_groups_around_counts(tmp_path, version):
    limits = {"job/step": ("max", 500, 0), "job": (4000, 3000, 0), "": (9000, 3000, 0)}
    assert available_bytes(grouped(tmp_path, version, limits)) == 1000


@VERSIONS
def test_a_container_sees_its_own_group_as_the_first_whatever_its_path_is_outside(tmp_path, version):
    assert available_bytes(grouped(tmp_path, version, {"": (2000, 500, 0)}, path="docker/0123")) == 1500


@VERSIONS
@pytest.mark.parametrize("limit", ["max", 2**63 - 4096])
def test_where_no_limit_is_set_the_machine_has_what_it_has(tmp_path, version, limit):
    assert available_bytes(grouped(tmp_path, version, {"job/step": (limit, 500, 0)})) == MACHINE


def test_a_group_beyond_its_limit_has_nothing_left(tmp_path):
    assert available_bytes(grouped(tmp_path, NEW, {"job": (500, 600, 0)})) == 0


def test_systems_without_control_groups_are_asked_for_the_machine_alone(tmp_path):
    assert available_bytes(tmp_path) == MACHINE
    assert 0 <= available_bytes(pathlib.Path("/")) <= MACHINE
