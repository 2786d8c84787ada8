"""Files of a visitor."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microwright.data.sources import RandomFieldSource
from microwright.errors import InputError
from microwright.methods import load_method
from microwright.physics.catalogue import solver_for
from microwright.studio import bringing
from microwright.studio.bringing import Lesson, read_files, solve_files

FILM = (np.random.default_rng(1).random((16, 16)) < 0.5).astype(np.uint8)


def image(path: Path, structure: np.ndarray) -> str:
    Image.fromarray(structure * np.uint8(255)).save(path)
    return str(path)


def test_files_of_several_formats_are_one_set(tmp_path, job):
    np.save(tmp_path / "b.npy", FILM)
    content = read_files([image(tmp_path / "a.png", FILM), str(tmp_path / "b.npy")], ["C11"])
    assert content.names == ("a", "b")
    first, second = solve_files(content, ["C11"], job)
    assert first.told == second.told and first.told.startswith("C11 ")
    expected = float(solver_for(["C11"], 2).solve(bringing.as_batch(FILM)).values)
    assert float(first.told.split()[1]) == pytest.approx(expected, rel=1e-4)


def test_a_corrupt_upload_is_one_line_without_the_server_s_folders():
    place = Path(tempfile.gettempdir()) / "gradio" / "abc123"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InputError) as error:
        read_files([str(path)], ["absorption"])
    path.unlink()
    assert str(error.value).startswith("broken.png: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(("files", "word"), [([], "none given"), (["a", "b"], "different sizes")])
def test_bad_sets_are_refused(tmp_path, files, word):
    paths = [image(tmp_path / f"{name}.png", FILM[: 8 + 4 * i]) for i, name in enumerate(files)]
    with pytest.raises(InputError, match=word):
        read_files(paths, ["C11"])


def test_every_listed_property_has_a_solver():
    for name in bringing.usable_names():
        assert solver_for([name], 2 if name in ("absorption", "reflectance", "transmittance") else 3).properties


def test_a_model_in_the_way_is_refused(tmp_path, job):
    lesson = Lesson([], ["absorption"], None, "pca-mdn", tmp_path, tmp_path / "work")
    with pytest.raises(InputError, match="exists already"):
        next(lesson.run(job))


@pytest.mark.slow
def test_training_from_images_and_a_table(tmp_path, job):
    structures = RandomFieldSource((32, 32), 0.0, (0.8, 1.6), (0.2, 0.7), 0).samples(0, 16).structures.numpy()
    files = [image(tmp_path / f"im-{i:02d}.png", s.astype(np.uint8)) for i, s in enumerate(structures)]
    table = tmp_path / "table.csv"
    table.write_text("name,absorption\n" + "".join(f"im-{i:02d}.png,0.5\n" for i in range(16)))
    lesson = Lesson(files, [], str(table), "pca-mdn", tmp_path / "model", tmp_path / "work")
    said = list(lesson.run(job))
    assert any("training" in line for line in said) and "differ from the solver's" in lesson.notes[0]
    assert load_method(tmp_path / "model").card.properties[0].name == "absorption"
