"""Active learning: better than its proposals, within budget, every call kept, none made twice, also after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from microwright.cli.main import main
from microwright.data.places import place_of
from microwright.data.sources import ArraySource
from microwright.data.store import LabelledSet
from microwright.design.diversity import pixel_distance
from microwright.design.targets import Target, parse_target
from microwright.errors import InputError
from microwright.improve.loop import Improved, ImproveNumerics, improve, nth_best
from microwright.improve.picture import write_error_curve
from microwright.improve.recording import BudgetSpent, RecordedSimulator
from microwright.methods.workspace import Workspace
from tests.design.toy import ToySolver
from tests.improve.toy_calls import BUDGET, COUNT, NUMERICS, POOL, TARGET, JournalledToy, search

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> tuple[Improved, Path]:
    folder = tmp_path_factory.mktemp("search")
    return search(folder), folder


def test_the_designs_are_nearer_than_what_was_proposed(found):
    improved, _ = found
    first = np.sort(improved.misfit[: NUMERICS.initial])[:COUNT]
    assert improved.misfit[improved.best].mean() < 0.25 * first.mean()
    assert list(improved.misfit[improved.best]) == sorted(improved.misfit[improved.best])


def test_every_value_is_the_simulators(found):
    improved, _ = found
    truth = ToySolver().solve(improved.record.structures).values
    torch.testing.assert_close(improved.record.values, truth)
    gaps = TARGET.misfit(truth[:, :1]).numpy()
    np.testing.assert_allclose(improved.misfit, gaps)


def test_no_structure_is_simulated_twice_and_the_budget_is_kept(found):
    improved, folder = found
    calls = (folder / "journal.txt").read_text().split()
    assert len(calls) == len(set(calls)) == len(improved.misfit) <= BUDGET


def test_designs_are_as_far_apart_as_asked_and_calls_of_a_round_too(tmp_path):
    simulator = RecordedSimulator(JournalledToy(tmp_path / "journal.txt"), tmp_path / "calls", 23)
    workspace = Workspace(tmp_path / "m", accelerator="cpu", progress=False)
    numerics = replace(NUMERICS, together=3, apart=0.1)
    result = improve(TARGET, POOL, simulator, workspace, COUNT, numerics)
    chosen = result.record.structures[result.best]
    distances = pixel_distance(chosen, chosen)[~torch.eye(len(chosen), dtype=torch.bool)]
    assert len(chosen) == COUNT and float(distances.min()) > 0.1
    assert set(np.diff(result.rounds)) == {3}
    for end in result.rounds[1:]:
        calls = result.record.structures[end - 3 : end]
        assert float(pixel_distance(calls, calls)[~torch.eye(3, dtype=torch.bool)].min()) > 0.1


def test_an_extreme_is_pushed_further_than_what_was_proposed(tmp_path):
    simulator = RecordedSimulator(JournalledToy(tmp_path / "journal.txt"), tmp_path / "calls", 20)
    workspace = Workspace(tmp_path / "m", accelerator="cpu", progress=False)
    result = improve(parse_target("max absorption", "absorption"), POOL, simulator, workspace, 1, NUMERICS)
    values = result.record.values[:, 0]
    assert len(values) == 20 and float(values[result.best[0]]) > float(values[: NUMERICS.initial].max())


def test_the_same_search_again_calls_nothing(found):
    improved, folder = found
    before = (folder / "journal.txt").read_text()
    again = search(folder)
    assert (folder / "journal.txt").read_text() == before
    torch.testing.assert_close(again.record.structures, improved.record.structures)


def test_a_killed_search_goes_on_to_the_same_calls(found, tmp_path):
    """SIGKILL in the middle of the calls; the next run makes the others, and the whole is the undisturbed run's."""
    improved, _ = found
    journal = tmp_path / "journal.txt"
    process = subprocess.Popen([sys.executable, "-m", "tests.improve.toy_calls", str(tmp_path)], cwd=ROOT)
    deadline = time.monotonic() + 120
    while (len(journal.read_text().split()) if journal.exists() else 0) < 12:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = search(tmp_path)
    calls = journal.read_text().split()
    # the call in hand when the kill came may be asked for once more, nothing that was answered
    assert len(calls) - len(set(calls)) <= 1
    torch.testing.assert_close(again.record.structures, improved.record.structures)


def test_labels_from_before_cost_nothing(found, tmp_path):
    improved, folder = found
    known = improved.record
    simulator = RecordedSimulator(JournalledToy(tmp_path / "journal.txt"), tmp_path / "calls", 4, known)
    simulator.solve(known.structures[:5])
    assert simulator.count == 0 and not (tmp_path / "journal.txt").exists()
    again = improve(
        TARGET, POOL, simulator, Workspace(tmp_path / "m", accelerator="cpu", progress=False), COUNT, NUMERICS
    )
    assert again.misfit[again.best].max() <= improved.misfit[improved.best].max()
    assert again.known == len(known) and simulator.count <= 4


def test_a_batch_beyond_the_budget_is_made_as_far_as_it_reaches(tmp_path):
    simulator = RecordedSimulator(JournalledToy(tmp_path / "journal.txt"), tmp_path / "calls", 3)
    with pytest.raises(BudgetSpent):
        simulator.solve(POOL.samples(0, 5).structures)
    assert simulator.count == 3
    written = simulator.write_set(tmp_path / "calls.zarr")
    assert len(LabelledSet.open(written.path).usable()) == 3


def test_failed_calls_are_recorded_and_not_learnt_from(tmp_path):
    class Failing(JournalledToy):
        def solve(self, structures):
            if structures[0, 0, 0]:
                raise RuntimeError("no convergence")
            return super().solve(structures)

    simulator = RecordedSimulator(Failing(tmp_path / "journal.txt"), tmp_path / "calls", 24)
    result = improve(
        TARGET, POOL, simulator, Workspace(tmp_path / "m", accelerator="cpu", progress=False), COUNT, NUMERICS
    )
    assert np.isinf(result.misfit).any() and np.isfinite(result.misfit[result.best]).all()
    assert len(result.record.usable) < len(result.misfit) <= 24


def test_the_nth_best_counts_translated_copies_once():
    one = torch.zeros(1, 8, 8)
    one[0, :3, :3] = 1
    two = torch.zeros(1, 8, 8)
    two[0, :6, :2] = 1
    structures = torch.cat([one, one.roll(2, 1), two])
    misfit = np.array([0.3, 0.1, 0.2])
    assert nth_best(structures, misfit, 1).tolist() == [0.3, 0.1, 0.1]
    assert nth_best(structures, misfit, 2).tolist() == [np.inf, np.inf, 0.2]


def test_a_pool_that_ends_is_used_up_and_the_search_ends(tmp_path):
    pool = ArraySource(POOL.samples(0, 9).structures.numpy(), "few")
    simulator = RecordedSimulator(JournalledToy(tmp_path / "journal.txt"), tmp_path / "calls", 40)
    numerics = ImproveNumerics(initial=8, pool=40, moves=16, aim=5e-3, training=NUMERICS.training)
    result = improve(TARGET, pool, simulator, Workspace(tmp_path / "m", accelerator="cpu", progress=False), 2, numerics)
    assert result.spent or result.misfit[result.best].max() <= 5e-3


def test_the_curve_is_drawn(found, tmp_path):
    improved, _ = found
    write_error_curve(tmp_path / "curve.png", improved, COUNT)
    assert (tmp_path / "curve.png").stat().st_size > 2000
    assert (np.diff(improved.curve(1)) <= 0).all()


def test_what_cannot_be_is_said_in_one_line(tmp_path):
    toy = JournalledToy(tmp_path / "journal.txt")
    with pytest.raises(InputError, match="budget"):
        RecordedSimulator(toy, tmp_path / "calls", 0)
    simulator = RecordedSimulator(toy, tmp_path / "calls", 9)
    workspace = Workspace(tmp_path / "m", accelerator="cpu", progress=False)
    with pytest.raises(InputError, match="unknown property"):
        improve(Target.value("C11", 3.0), POOL, simulator, workspace)
    with pytest.raises(InputError, match="3-D grid"):
        improve(TARGET, ArraySource(np.zeros((2, 4, 4, 4)), "volumes"), simulator, workspace)
    with pytest.raises(InputError, match="count"):
        improve(TARGET, POOL, simulator, workspace, count=0)
    with pytest.raises(InputError, match="initial"):
        ImproveNumerics(initial=1)
    with pytest.raises(InputError, match="apart"):
        ImproveNumerics(apart=0.0)


def test_two_searches_do_not_share_a_folder(tmp_path, capsys):
    np.save(tmp_path / "few.npy", POOL.samples(0, 3).structures.numpy().astype(np.uint8))
    words = ["improve", "--data", f"{tmp_path}/few.npy", "--property", "k11", "--target", "2", "--budget", "3"]
    (tmp_path / "designs.training").mkdir()
    with place_of(tmp_path / "designs.training").locked():
        assert main([*words, "--count", "1", "--out", f"{tmp_path}/designs"]) == 2
    assert "being written by process" in capsys.readouterr().err
