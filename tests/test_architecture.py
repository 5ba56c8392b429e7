"""The rules of the house, checked."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys

import equinox as eqx
import pytest

import diffphys

ROOT = pathlib.Path(diffphys.__file__).parent
FLOORS = (
    ("_choices", "_config", "_devices", "_files", "_keys", "_memory", "_threefry", "_types", "_versions", "clocks"),
    ("_block", "_box_muller", "_quadrature", "_root"),
    ("processes", "targets"),
    ("_describe", "diffused"),
    ("samplers",),
    ("thermo",),
    ("_journal", "data", "results"),
    ("learn",),
    ("experiments",),
    ("plots",),
    ("_commands", "_options"),
    ("cli",),
    ("__main__", "__init__"),
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
FILES = {str(file.relative_to(ROOT)): file for file in sorted(ROOT.rglob("*.py"))}
every_file = pytest.mark.parametrize("name", FILES)


def room_of(name):
    return pathlib.Path(name).parts[0].removesuffix(".py")


def imports(name):
    """The rooms that a file imports from, whole modules too; and the packages by their full names."""
    depth = len(pathlib.Path(name).parts)
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from ((False, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield False, node.module
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            for part in [node.module] if node.module else [alias.name for alias in node.names]:
                yield True, part.split(".")[0]


@every_file
def test_imports_point_down(name):
    here = room_of(name)
    assert here in FLOOR, f"`{here}` needs a floor in this test: which rooms may it know?"
    for is_ours, there in imports(name):
        if is_ours and there != here:
            assert FLOOR[there] < FLOOR[here], f"{name} imports {there}"


@every_file
def test_imports_of_our_own_are_relative(name):
    assert not [there for is_ours, there in imports(name) if not is_ours and there.split(".")[0] == "diffphys"]


@every_file
def test_files_are_short(name):
    assert len(FILES[name].read_text().splitlines()) <= 300


FORBIDDEN = {
    r"\bjax\.core\b": "moved and removed between releases",
    r"\bjax\.interpreters\b": "moved and removed between releases",
    r"\bjnp\.empty": "holds what was in memory on some backends",
    r"\bwith mesh\b": "removed in favour of explicit shardings",
    r"from __future__ import annotations": "hides array types from their checks",
}


@every_file
def test_names_that_do_not_last_are_not_used(name):
    text = FILES[name].read_text()
    assert not [f"{pattern}: {why}" for pattern, why in FORBIDDEN.items() if re.search(pattern, text)]


def test_only_the_command_switches_the_precision():
    switch = re.compile(r"""enable_x64\(|update\(\s*["']jax_enable_x64""")
    assert [name for name, file in FILES.items() if switch.search(file.read_text())] == ["_commands/_shared.py"]


def modules():
    for info in pkgutil.walk_packages([str(ROOT)], "diffphys."):
        if not info.name.endswith("__main__"):
            for _, cls in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if issubclass(cls, eqx.Module) and cls.__module__ == info.name:
                    yield cls


MODULES = {cls.__qualname__: cls for cls in modules()}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_abstract_and_named_so_or_final(name):
    cls = MODULES[name]
    open_fields = bool(getattr(cls, "__abstractvars__", ()) or getattr(cls, "__abstractclassvars__", ()))
    assert name.lstrip("_").startswith("Abstract") == (inspect.isabstract(cls) or open_fields)
    for base in cls.__mro__[1:]:
        if base.__module__.startswith("diffphys"):
            assert base.__name__.lstrip("_").startswith("Abstract"), f"{name} subclasses {base.__name__}: final"


HEAVY = {"jax", "flax", "orbax", "diffrax", "matplotlib"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [("import diffphys", HEAVY | {"equinox", "scipy", "xarray"}), ("import diffphys.experiments", HEAVY - {"jax"})],
)
def test_an_import_loads_only_what_it_needs(statement, unwanted):
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert not unwanted & set(found.stdout.split())


def public_names():
    for node in ast.parse((ROOT / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


@pytest.mark.parametrize("name", sorted(public_names()))
def test_a_public_name_exists_and_says_what_it_is(name):
    assert name in dir(diffphys)
    value = getattr(diffphys, name)
    assert inspect.ismodule(value) or len((inspect.getdoc(value) or "").split()) > 3


def test_every_public_name_is_in_the_stub():
    assert set(diffphys.__all__) == set(public_names())


@pytest.mark.parametrize("room", ["clocks", "learn", "plots", "thermo"])
def test_help_of_a_room_shows_every_name_that_it_offers(room):
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    found = (alias for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names)
    names = {alias.asname for alias in found if alias.asname}
    assert names == set(importlib.import_module(f"diffphys.{room}").__all__)
