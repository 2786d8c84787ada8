"""Simulators of others: what they are given, what is read back, and what becomes of those that fail."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from microwright.data.labelling import label
from microwright.data.sources import ArraySource
from microwright.errors import InputError
from microwright.physics.catalogue import solver_from_spec
from microwright.physics.conduction import ConductionSolver
from microwright.physics.external import CommandSolver, FunctionSolver, process, read_simulator
from microwright.physics.external.base import SimulationError
from microwright.physics.external.command import Companion, Output
from microwright.physics.external.results import Locator
from microwright.physics.external.writing import FORMATS, placeholders, write_structure
from microwright.physics.property import Property, Status
from microwright.structures.files import read_structures

EXAMPLES = Path(__file__).parents[2] / "examples"
FRACTION = Property("fraction", "1", "share of phase 1")

#: prints the phase fraction; misbehaves where the first pixel is 1
SCRIPT = """
import os, signal, sys, time
rows = [[int(v) for v in line.split()] for line in open(sys.argv[1])]
fraction = sum(map(sum, rows)) / sum(map(len, rows))
if rows[0][0] and len(sys.argv) > 2:
    sys.stderr.write("bad structure")
    sys.stderr.flush()
    exec(sys.argv[2])
print("fraction =", fraction)
"""

STRUCTURES = torch.tensor([[[0, 1], [1, 1]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]], dtype=torch.float32)


def by_script(*arguments: str, **limits) -> CommandSolver:
    """A solver that runs ``SCRIPT``."""
    return CommandSolver(
        name="script",
        command=("{python}", "-S", "script.py", "{structure}", *arguments),
        structure="pixels.txt",
        template="$pixels\n",
        files=(Companion("script.py", SCRIPT.encode()),),
        outputs=(Output(FRACTION, Locator("pattern", r"fraction = (\S+)", "stdout.txt")),),
        **limits,
    )


# ------------------------------------------------------------------------------------------------------ what goes out


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 5)])
def test_formats_hold_the_structure(suffix, shape, tmp_path):
    if suffix == ".png" and len(shape) == 3:
        pytest.skip("images alone")
    structure = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    write_structure(tmp_path / f"structure{suffix}", structure, None)
    back = read_structures(tmp_path / f"structure{suffix}", dimensions=len(shape)).structures
    np.testing.assert_array_equal(back, structure[None])


@settings(max_examples=30, deadline=None)
@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.integers(0, 1)))
def test_templates_hold_the_structure(structure):
    """Both ways of saying the pixels give the structure back; the element sets are each other's complement."""
    given = placeholders(structure)
    sizes = [int(given[name]) for name in ("nx", "ny", "nz")]
    assert sizes == [*structure.shape, 1][:3]
    pixels = np.array(given["pixels"].split(), dtype=np.uint8)
    np.testing.assert_array_equal(pixels.reshape(structure.shape, order="F"), structure)
    sets = [{int(n) for n in given[name].replace(",", " ").split()} for name in ("phase0", "phase1")]
    assert sets[0] | sets[1] == set(range(1, structure.size + 1)) and not sets[0] & sets[1]
    assert sets[1] == set((np.flatnonzero(pixels) + 1).tolist())
    assert all(len(line.split()) <= 16 for line in given["phase1"].splitlines())


def test_a_template_can_hold_a_dollar(tmp_path):
    write_structure(tmp_path / "deck.inp", np.eye(2, dtype=np.uint8), "$$ $nx x $ny, $phase_fraction\n$phase1")
    assert (tmp_path / "deck.inp").read_text() == "$ 2 x 2, 0.5\n1, 4"


def test_grey_structures_are_refused():
    with pytest.raises(InputError, match="0 and 1 alone"):
        by_script().solve(torch.full((1, 2, 2), 0.4))


# ------------------------------------------------------------------------------------------------------ what comes back


@settings(max_examples=40, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False), other=st.floats(-1, 1))
def test_numbers_are_found_exactly(value, other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "a.json").write_text(json.dumps({"b": {"c": [other, value]}}))
    (folder / "a.csv").write_text(f"x, y\n{other},{other}\n{other}, {value!r}\n")
    (folder / "a.txt").write_text(f"y = {other!r}\nnoise\ny = {value!r} GPa\n")
    found = [
        Locator("json", "b.c.1", "a.json"),
        Locator("csv", "y", "a.csv"),
        Locator("pattern", r"^y = (\S+)", "a.txt"),
    ]
    assert [locator.read(folder) for locator in found] == [value] * 3


@pytest.mark.parametrize(
    ("kind", "where", "text"),
    [
        ("json", "b", "{broken"),
        ("json", "c", '{"b": 1}'),
        ("json", "b", '{"b": [1]}'),
        ("json", "b", '{"b": null}'),
        ("json", "b.1", '{"b": [1]}'),
        ("json", "b", '{"b": NaN}'),
        ("json", "b", "[" * 100_000),
        ("csv", "y", ""),
        ("csv", "y", "x\n1\n"),
        ("csv", "y", "x,y\n1\n"),
        ("csv", "y", "y\n"),
        ("pattern", "y = (.*)", "x = 1"),
        ("pattern", "y = (.*)", "y = many"),
        ("pattern", "y = (.*)", "y = inf"),
        ("pattern", "y = (.*)", "\x00\xff"),
    ],
)
def test_nonsense_is_no_number(kind, where, text, tmp_path):
    (tmp_path / "result").write_text(text)
    with pytest.raises(SimulationError, match="^result: "):
        Locator(kind, where, "result").read(tmp_path)


def test_no_result_is_a_failure(tmp_path):
    with pytest.raises(SimulationError, match="FileNotFound"):
        Locator("json", "a", "result").read(tmp_path)


# ------------------------------------------------------------------------------------------------------------ commands


def test_a_command_gives_values():
    solution = by_script().solve(STRUCTURES)
    torch.testing.assert_close(solution.values[:, 0], STRUCTURES.double().mean((1, 2)))
    assert not solution.status.any() and not solution.log and solution.error_bar.isnan().all()


def test_error_bars_can_be_told():
    bar = Locator("pattern", r"fraction = (\S+)", "stdout.txt")
    solver = by_script()
    for said, expected in ((bar, 0.75), (0.01, 0.01)):
        outputs = (Output(FRACTION, solver.outputs[0].value, said),)
        told = CommandSolver(solver.name, solver.command, solver.structure, outputs, 2, solver.template, solver.files)
        assert told.solve(STRUCTURES[:1]).error_bar.tolist() == [[expected]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "ended with exit status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended with signal SIGSEGV"),
        ("print('fraction = nan'); sys.exit()", "is nan"),
        ("print('fraction = hello'); sys.exit()", "no number"),
        ("sys.exit()", "no number"),
        ("time.sleep(60)", "stopped after the time limit of 1 s"),
    ],
)
def test_a_failure_stays_alone_and_keeps_its_log(code, said, tmp_path):
    """Through labelling: the bad structure is FAILED with its log in the store, the others have their values."""
    path = tmp_path / "set.zarr"
    labelled = label(ArraySource(STRUCTURES.numpy(), "three"), by_script(code, time_limit_s=1.0), path, 3)
    assert labelled.status[:].tolist() == [Status.CONVERGED, Status.FAILED, Status.CONVERGED]
    np.testing.assert_array_equal(labelled.properties[:, 0], [0.75, np.nan, 0.0])
    assert labelled.usable().tolist() == [0, 2]
    (log,) = (path / "failures").iterdir()
    assert log.name == "1.txt" and said in log.read_text() and "bad structure" in log.read_text()


def test_nothing_of_a_stopped_command_is_left_running(tmp_path):
    """Not even a child that its parent has left alone."""
    note = tmp_path / "pid"
    code = f"import subprocess; c = subprocess.Popen(['sleep', '60']); open({str(note)!r}, 'w').write(str(c.pid))"
    for ending in ("time.sleep(60)", "sys.exit(1)"):
        by_script(f"{code}; {ending}", time_limit_s=1.0).solve(STRUCTURES[1:2])
        deadline = time.monotonic() + 5
        while _running(int(note.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def _running(pid: int) -> bool:
    """Whether a process lives; one that waits to be collected does not."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_a_command_prints_reaches_a_terminal_as_text():
    solution = by_script(r"print('\x1b[2J\x07 done\x00'); sys.exit(1)").solve(STRUCTURES[1:2])
    assert "[2J\N{REPLACEMENT CHARACTER} done" in solution.log[0]
    assert all(character.isprintable() or character in "\n\t" for character in solution.log[0])


def test_a_command_that_prints_without_end_is_stopped(monkeypatch):
    monkeypatch.setattr(process, "MAX_PRINTED", 10_000)
    monkeypatch.setattr(process, "LOOK", 0.05)
    solution = by_script("while True: print('x' * 1000, flush=True); time.sleep(0.001)").solve(STRUCTURES[1:2])
    assert "printed more than 10000 bytes" in solution.log[0] and len(solution.log[0]) < 50_000


def test_retries_are_made(tmp_path):
    tries = tmp_path / "tries"
    code = f"t = open({str(tries)!r}, 'a'); t.write('x'); t.close(); os.path.getsize(t.name) < 3 and sys.exit(1)"
    assert by_script(code, retries=1).solve(STRUCTURES).status.tolist() == [0, Status.FAILED, 0]
    assert by_script(code, retries=1).solve(STRUCTURES).values[1, 0] == 0.25
    assert tries.read_text() == "xxx"


def test_a_program_that_is_not_there_is_the_users_to_mend():
    solver = CommandSolver("none", ("no-such-program",), "a.npy", by_script().outputs)
    with pytest.raises(InputError, match="'no-such-program' cannot be started"):
        solver.solve(STRUCTURES)


def test_every_run_has_a_folder_of_its_own_that_goes():
    code = "print('fraction =', len(os.listdir('.'))); open('left', 'w'); os.mkdir('folder'); sys.exit()"
    solver = by_script(code)
    first, second = (solver.solve(STRUCTURES[1:2]).values.item() for _ in range(2))
    assert first == second == 4  # the structure, the script, and what it prints


# ------------------------------------------------------------------------------------------------------------- trust


def test_a_spec_runs_only_what_was_named():
    """A file can hold the spec of any command; it must not run because somebody opened the file."""
    solver = by_script()
    spec = json.loads(json.dumps(solver.spec()))
    assert solver_from_spec(spec) == solver
    with pytest.raises(InputError, match="external simulator 'script'.*--simulator"):
        solver_from_spec({**spec, "command": ["rm", "-r", "somewhere"]})
    with pytest.raises(InputError, match="--simulator"):
        solver_from_spec({"engine": "function", "function": "os:system"})
    with pytest.raises(InputError, match="--simulator"):
        solver_from_spec({**spec, "engine": "function"})


def test_limits_do_not_make_another_simulator():
    assert by_script(time_limit_s=5.0, retries=2).spec() == by_script().spec()
    assert by_script("pass").spec() != by_script().spec()


def test_solvers_travel():
    again = pickle.loads(pickle.dumps(by_script()))  # noqa: S301 - as Dask sends it to workers
    assert again.solve(STRUCTURES).values.tolist() == [[0.75], [0.25], [0.0]]


# ----------------------------------------------------------------------------------------------------------- functions

MODULE = """
import numpy as np

def fraction(x):
    return x.mean((1, 2))

def both(x):
    return {"rows": x.mean(2).var(1), "fraction": x.mean((1, 2))}

def touchy(x):
    if x[:, 0, 0].any():
        raise ArithmeticError("first pixel")
    return np.where(x[:, 1, 1] == 1, np.nan, x.mean((1, 2)))

def wrong(x):
    return np.zeros(len(x) + 1)

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in a folder of its own, forgotten afterwards."""
    name = f"heat_{os.getpid()}_{time.monotonic_ns()}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name, str(tmp_path)


def function_solver(module, name, properties=(FRACTION,)) -> FunctionSolver:
    return FunctionSolver("heat", f"{module[0]}:{name}", properties, 2, module[1])


def test_a_function_gives_values(module):
    solution = function_solver(module, "fraction").solve(STRUCTURES)
    assert solution.values.tolist() == [[0.75], [0.25], [0.0]] and not solution.log
    rows = Property("rows", "1", "")
    solution = function_solver(module, "both", (FRACTION, rows)).solve(STRUCTURES)
    assert solution.values.tolist() == [[0.75, 0.0625], [0.25, 0.0625], [0.0, 0.0]]


def test_a_function_that_raises_spoils_one_structure_alone(module):
    solution = function_solver(module, "touchy").solve(STRUCTURES)
    assert solution.status.tolist() == [Status.FAILED, Status.FAILED, 0]
    assert "ArithmeticError: first pixel" in solution.log[1] and "nan" in solution.log[0]


@pytest.mark.parametrize(("name", "message"), [("wrong", "gave shape"), ("number", "no function"), ("none", "import")])
def test_a_function_that_is_none_is_told(module, name, message):
    with pytest.raises(InputError, match=message):
        function_solver(module, name).solve(STRUCTURES)


def test_another_text_is_another_function(module):
    before = function_solver(module, "fraction").spec()
    (Path(module[1]) / f"{module[0]}.py").write_text(MODULE + "\n")
    assert function_solver(module, "fraction").spec() != before


# --------------------------------------------------------------------------------------------------------------- files

GOOD = """
command = "cat {structure}"
structure = "a.npy"
[[properties]]
name = "a"
pattern = "(.)"
"""


def test_a_file_describes_a_function(module):
    path = Path(module[1]) / "heat.toml"
    path.write_text(f'function = "{module[0]}:fraction"\n[[properties]]\nname = "fraction"\n')
    solver = read_simulator(path)
    assert solver.name == "heat" and solver.solve(STRUCTURES).values[0] == 0.75
    assert solver_from_spec(json.loads(json.dumps(solver.spec()))) is solver


def test_a_file_describes_a_template(tmp_path):
    (tmp_path / "deck.inp").write_text("$phase1")
    (tmp_path / "a.toml").write_text('template = "deck.inp"\n' + GOOD.replace('structure = "a.npy"', ""))
    solver = read_simulator(tmp_path / "a.toml")
    assert solver.structure == "deck.inp"
    assert solver.solve(STRUCTURES[:1]).values.item() == 4  # the last digit of "2, 3, 4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command = [", "cannot be read as TOML"),
        (GOOD + 'colour = "red"', "colour"),
        (GOOD.replace('command = "cat {structure}"', ""), "either command or function"),
        (GOOD.replace('command = "cat {structure}"', 'command = ""'), "command is empty"),
        (GOOD.replace('pattern = "(.)"', ""), "exactly one of json, csv, pattern"),
        (GOOD + 'json = "a"', "exactly one of"),
        (GOOD.replace('"(.)"', '"("'), "pattern '\\('"),
        (GOOD.replace("a.npy", "a.doc"), "no format"),
        (GOOD.replace("a.npy", "../a.npy"), "plain file name"),
        ("dimensions = 4\n" + GOOD, "dimensions"),
        ("dimensions = 3\n" + GOOD.replace("a.npy", "a.png"), "no format for 3-D"),
        ("time_limit_s = 0\n" + GOOD, "time_limit_s"),
        ('files = ["missing.py"]\n' + GOOD, "missing.py: cannot be read"),
        ('template = "missing.inp"\n' + GOOD, "missing.inp: cannot be read"),
        (GOOD + GOOD[GOOD.index("[[") :], "a name of its own"),
        ('function = "os:getcwd"\n[[properties]]\nname = "a"\njson = "a"', "leave json"),
        ('command = "true"\nproperties = []', "at least one"),
        ('command = "true"', "properties: Field required"),
    ],
)
def test_a_broken_file_ends_in_one_line(text, message, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(InputError, match=message) as told:
        read_simulator(tmp_path / "a.toml")
    assert "\n" not in str(told.value) and "a.toml" in str(told.value)


def test_a_template_that_asks_for_something_unknown_is_refused(tmp_path):
    (tmp_path / "deck.inp").write_text("$density")
    (tmp_path / "a.toml").write_text('template = "deck.inp"\n' + GOOD)
    with pytest.raises(InputError, match="template: 'density'; it can hold .nx"):
        read_simulator(tmp_path / "a.toml")


# ------------------------------------------------------------------------------------------------------------- example


def test_the_example_agrees_with_our_own_engine():
    """scikit-fem and our solver are independent codes of one discretisation: equal within the error bar."""
    pytest.importorskip("skfem")
    structures = (torch.rand((2, 12, 16), generator=torch.Generator().manual_seed(0)) > 0.5).float()
    theirs = read_simulator(EXAMPLES / "simulators" / "conduction.toml").solve(structures)
    ours = ConductionSolver(properties=("k11", "k22"), dimensions=2).solve(structures)
    assert not theirs.status.any()
    assert ((theirs.values - ours.values).abs() <= ours.error_bar + 1e-6).all()
