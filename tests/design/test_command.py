"""``microwright design``: files written, bad input in one line, and an interrupt that loses nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from microwright.cli import design
from microwright.cli.main import main
from microwright.design.designs import read_designs
from microwright.structures.files import read_structures

QUICK = ["design", "--target", "absorption=0.65, phase_fraction=0.3..0.5", "--count", "2", "--seed", "1"]


def test_the_shipped_model_designs_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "designs"
    assert main([*QUICK, "--smallest-feature", "20nm", "--export", "gds,png", "--out", str(out)]) == 0
    made = read_designs(out / "designs.h5")
    assert len(made) == 2 and made.worst_rep.max() < 0.1
    assert made.remarks["verdict"] == ["met, bar wider than tolerance"] * 2
    assert (made.error_bar[:, 0] > 0).all() and (made.error_bar[:, 0] < 0.05).all()
    for name in ("designs.csv", "gallery.png", "report.html", "gds/design-001.gds"):
        assert (out / name).stat().st_size > 0
    assert (read_structures(out / "png" / "design-000.png").structures[0] == made.structures[0]).all()
    assert "report.html" in capsys.readouterr().out


def test_an_interrupt_writes_what_was_solved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = design.direct_designs
    monkeypatch.setattr(design, "exact_designs", lambda *given: replace(whole(*given[:2]), interrupted=True))
    assert main([*QUICK, "--out", str(tmp_path / "designs")]) == design.INTERRUPTED
    assert len(read_designs(tmp_path / "designs" / "designs.h5")) == 2
    assert "interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "1.3"], "physics bounds it to 0 to 1"),
        (["--target", "phase_fraction=0.9, phase_fraction<=0.3"], "exclude each other"),
        (["--target", "0.65±1e-9"], "precision"),
        (["--target", "wind=3"], "no model that comes with the package designs for wind"),
        (["--target", "0.65", "--smallest-feature", "wide"], "no size"),
        (["--target", "0.65", "--symmetry", "spiral"], "unknown"),
        (["--target", "0.65", "--export", "stl"], "3-D"),
        (["--target", "0.65", "--method", "pca-mdn"], "run `microwright train pca-mdn"),
        (["--target", "0.65", "--method", "magic"], "method: 'magic' is unknown"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["design", *arguments, "--out", str(tmp_path / "designs")]) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "designs").exists()
