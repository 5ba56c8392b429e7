"""Every notebook runs as a reader would run it, with and without real data, and is kept without outputs."""

import ast
import os
import pathlib
import re
import shutil
import sys

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COLAB = "https://colab.research.google.com/github/diffphys/diffphys/blob/main/"
# Nothing listens there: what is not on this machine cannot be had.
NOWHERE = "http://127.0.0.1:9"

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def executed(path, folder, monkeypatch, **environment):
    """The cells that a fresh kernel left, run at reduced size from a folder of its own, offline, nan checked for."""
    environment |= {"DIFFPHYS_SMOKE": "1", "JAX_DEBUG_NANS": "1", "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE}
    # A checkout that was not installed is found too; the kernel is this Python, whatever kernels are installed.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    client = nbclient.NotebookClient(
        nbformat.read(path, as_version=4), timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    return [cell for cell in client.execute().cells if cell.cell_type == "code"]


def pictures(cells):
    outputs = [output for cell in cells for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def printed(cells):
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


def test_there_are_notebooks():
    assert NOTEBOOKS


@each
def test_notebook_is_stripped(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
    assert all(cell.metadata == {} for cell in notebook.cells)


@each
def test_notebook_begins_with_its_own_badge(path):
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert f"({COLAB}{path.relative_to(ROOT).as_posix()})" in first.source


@each
def test_install_cell_pins_what_is_there_and_runs_only_where_the_import_fails(path):
    cells = code_cells(path)
    assert not any("pip" in cell.source for cell in cells[1:])
    source = cells[0].source
    (attempt,) = ast.parse(source).body
    assert isinstance(attempt, ast.Try)
    assert ast.unparse(attempt.body) == "import diffphys as dp"
    assert ast.unparse(attempt.handlers[0].type) == "ImportError"
    assert not re.search(r"upgrade|-U\b|force-reinstall|x64", source)


@each
def test_install_cell_cannot_move_jax_or_numpy(path, monkeypatch):
    calls = []

    def run(command, *, check):
        calls.append(command)
        raise InterruptedError  # Before anything is installed.

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setitem(sys.modules, "diffphys", None)  # The import fails.
    with pytest.raises(InterruptedError):
        exec(compile(code_cells(path)[0].source, path.name, "exec"), {})
    (command,) = calls
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    pins = pathlib.Path(command[command.index("-c") + 1]).read_text().split()
    import jax
    import jaxlib
    import numpy

    assert {f"jax=={jax.__version__}", f"jaxlib=={jaxlib.__version__}", f"numpy=={numpy.__version__}"} <= set(pins)
    assert not any(pin.startswith(("jaxtyping", "jaxopt")) for pin in pins)


SPECIATION, SAMPLERS, THERMODYNAMICS, MAGNETS, LEARNED = (
    ROOT / "notebooks" / f"{name}.ipynb"
    for name in (
        "01_speciation_and_collapse",
        "02_samplers",
        "03_thermodynamics",
        "04_curie_weiss_and_random_matrices",
        "05_train_and_measure",
    )
)


@pytest.mark.slow
@pytest.mark.notebook
def test_speciation_runs_on_real_data(lab, tmp_path, monkeypatch):
    cells = executed(SPECIATION, tmp_path, monkeypatch, DIFFPHYS_DATA=lab)
    assert pictures(cells) == 5
    assert "mnist: 600 images" in printed(cells)
    assert "label agreement is set by collapse" in printed(cells)


@pytest.mark.notebook
def test_speciation_runs_where_no_data_can_be_had(tmp_path, monkeypatch):
    cells = executed(SPECIATION, tmp_path, monkeypatch, DIFFPHYS_DATA=tmp_path, XDG_CACHE_HOME=tmp_path)
    assert pictures(cells) == 4
    assert "MNIST cannot be had here" in printed(cells)
    assert "this part is skipped" in printed(cells)


@pytest.mark.slow
@pytest.mark.notebook
def test_samplers_tell_their_story(tmp_path, monkeypatch):
    """One half on each side by gradient flow and Langevin, the true fifth once annealed; UniPC ahead at 20."""
    cells = executed(SAMPLERS, tmp_path, monkeypatch)
    assert pictures(cells) == 5
    text = printed(cells)
    shares = {name: float(value) for name, value in re.findall(r"^([a-zA-Z ]+?)  +(0\.\d+) \+-", text, re.MULTILINE)}
    assert abs(shares["Langevin"] - 0.5) < 4 * 0.036
    assert abs(shares["annealed Langevin"] - 0.2) < 3 * 0.028
    assert abs(shares["reverse diffusion"] - 0.2) < 3 * 0.028
    flow, exact = (float(re.search(rf"{name} (-\d\.\d+)", text).group(1)) for name in ("by the flow", "exact"))
    assert abs(flow - exact) < 5e-4
    errors = {
        name: float(row.split()[-1]) for name, row in re.findall(r"^(\S.+?)  +((?:\d+\.\d{4} *)+)$", text, re.MULTILINE)
    }
    assert errors["UniPC-3"] < errors["DDIM"] < errors["Euler, phase space"]


@pytest.mark.slow
@pytest.mark.notebook
def test_magnets_tell_their_story(tmp_path, monkeypatch):
    """Clones on the identity, weights lost by late starts and local scores, and distances below their bounds."""
    cells = executed(MAGNETS, tmp_path, monkeypatch)
    assert pictures(cells) == 7
    text = printed(cells)

    def numbers(pattern):
        return [float(value) for match in re.findall(pattern, text, re.MULTILINE) for value in match.split()]

    (apart,) = numbers(r"clones against the identity: at most (\S+) standard errors")
    assert apart < 4
    low, high = numbers(r"phi crosses .* \[([\d.]+), [\d.]+\]") + numbers(r"phi crosses .*, ([\d.]+)\]")
    (t_s,) = numbers(r"phi crosses .*; t_S = (\S+)$")
    # Of the order of 1 / N the theory knows nothing.
    assert low - 0.1 < t_s < high + 0.1
    (true,) = numbers(r"^true W\+ = (\S+)")
    early, middle, late = numbers(r"^start at .* W\+ = (\S+) by the identity")
    assert early < middle < late < true + 0.03
    assert true - late < 0.2 * (true - early)
    local, memorised = numbers(r"^  local  +([\d. ]+)$"), numbers(r"^  memorised  +([\d. ]+)$")
    assert all(one > 2 * other for one, other in zip(local, memorised, strict=True))
    uniform, spread = numbers(r"^  uniform, . inside +(\S+) \+-") + numbers(r"^  uniform, .* \+- (\S+)$")
    assert min(numbers(r"^  window, . inside +(\S+) \+-")) < uniform - spread
    assert max(numbers(r"^  epsilon = \S+ +([\d. ]+)$")) < 1
    for order in re.search(r"^order of the step .*: (.*)$", text, re.MULTILINE)[1].split(", "):
        assert abs(float(order) - 1) < 0.05
    ends = re.search(r"KL of the paths (\S+) \+- (\S+), by the ends (\S+)$", text, re.MULTILINE)
    found, error, exact = map(float, ends.groups())
    assert abs(found - exact) < 4 * error
    assert numbers(r"^total variation (\S+),") < numbers(r"at most (\S+) by Pinsker")
    for rate, order in zip(numbers(r"rate of the prior's error .*: (\S+)$"), (1, 2, 4), strict=True):
        assert abs(rate - order) < 0.1


@pytest.mark.slow
def test_thermodynamics_tells_its_story(tmp_path, monkeypatch):
    """Critical variances 1, 1/3 and 1/2, one fixed point and then nine, mean-field exponents, equal energies."""
    cells = executed(THERMODYNAMICS, tmp_path, monkeypatch)
    assert pictures(cells) == 9
    text = printed(cells)

    def numbers(pattern):
        return [float(value) for value in re.search(pattern, text).groups()]

    assert numbers(r"two points at \+-1: critical variance (\S+)\n") == pytest.approx([1.0], abs=1e-9)
    assert numbers(r"meets a pitchfork at v = (\S+):") == pytest.approx([1.0], abs=1e-8)
    critical, soft, ratio = numbers(r"d =  3: d v_c = (\S+), \|J_perp - 1\| <= (\S+), .* (\S+)\n")
    assert (critical, ratio) == (pytest.approx(1.0, abs=1e-9), pytest.approx(1.0, abs=1e-3))
    assert soft < 1e-9
    assert numbers(r"E M\^2 / d, relative difference <= (\S+)\n")[0] < 1e-9
    assert numbers(r"four points: critical variance (\S+)\n") == pytest.approx([0.5], abs=1e-9)
    found = re.findall(r"fixed points (\d), minima (\d), saddles (\d), maxima (\d)", text)
    assert found == [("1", "1", "0", "0"), ("9", "4", "4", "1"), ("9", "4", "4", "1")]
    fold, barrier = numbers(r"fold at v = (\S+); barrier between the points below v = (\S+)\n")
    assert fold == pytest.approx(barrier, abs=1e-7)
    signs = re.findall(r"kappa_[34] = ([+-])\S+, continuous: (\w+)", text)
    assert signs == [("+", "False"), ("-", "True"), ("+", "False")]
    rows = re.findall(
        r"^(?:two|four) points +(\S+) \[.*?\] +(\S+) \[.*?\] +(\S+) \[.*?\] +(\S+) \[.*?\] +(\S+)$", text, re.M
    )
    assert len(rows) == 2
    for row in rows:
        assert [float(value) for value in row] == pytest.approx([0.5, 1.0, 1.0, 3.0, 2.0], abs=2e-3)
    assert numbers(r"score_zero +(\S+) +(\S+) +(\S+) +(\S+)") == pytest.approx([0.34657, 1, 0.25896, 258.09], rel=1e-4)
    assert numbers(r"drift +(\S+) +(\S+) +(\S+) +(\S+)") == pytest.approx([0.44069, 2**0.5, 0.29264, 291.7], rel=1e-4)
    differences = re.findall(r"energies differ by at most (\S+), updates by (\S+)", text)
    assert len(differences) == 4
    assert max(float(value) for row in differences for value in row) < 1e-12
    overlaps = {
        name: [float(value) for value in row.split()]
        for name, row in re.findall(r"^(modern|classical) +(.*)$", text, re.M)
    }
    assert min(overlaps["modern"]) > 0.99
    assert overlaps["classical"][-1] < 0.6


def learned_numbers(text):
    """The loss at the end, and the crossings of the exact score: of a class at t_S, of a datum below it."""
    loss = float(re.search(r"steps: loss (\S+),", text).group(1))
    spectral, exact = (float(x) for x in re.search(r"Lambda = (\S+);.*exact score at (\S+)", text).groups())
    datum = float(re.search(r"phi_C = 1/2: model .*exact score (\S+);", text).group(1))
    return loss, spectral, exact, datum


@pytest.mark.slow
@pytest.mark.notebook
def test_learned_scores_are_measured_where_no_data_can_be_had(tmp_path, monkeypatch):
    cells = executed(LEARNED, tmp_path, monkeypatch, DIFFPHYS_DATA=tmp_path, XDG_CACHE_HOME=tmp_path)
    assert pictures(cells) == 8
    text = printed(cells)
    assert "this part is skipped" in text
    loss, spectral, exact, datum = learned_numbers(text)
    assert loss < 1.02
    assert exact == pytest.approx(spectral, rel=0.1)
    assert datum < exact


@pytest.mark.slow
@pytest.mark.notebook
def test_a_public_network_is_measured(lab, tmp_path, monkeypatch):
    shutil.copy(ROOT / "notebooks/public_ddpm.py", tmp_path)
    cells = executed(LEARNED, tmp_path, monkeypatch, DIFFPHYS_DATA=lab)
    assert pictures(cells) == 12
    assert "the exact score: collapse: label agreement is set by collapse here" in printed(cells)
    assert re.search(r"the network: \w+.*; copies 0\.\d+", printed(cells))
    ratios = re.search(r"of the linear denoiser: \[(.*)\]", printed(cells)).group(1).split()
    # Better than linear at small noise, far worse at large.
    assert float(ratios[0]) < 0.8
    assert float(ratios[-1]) > 10
