"""Files of a visitor: read, solved, and, with a set of them, a model trained."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microwright.cli.options import undeclared_dimensions
from microwright.data.importing import import_set
from microwright.data.labelling import label
from microwright.data.sources import ArraySource
from microwright.errors import InputError
from microwright.physics.catalogue import dimensions_of, solver_for
from microwright.physics.property import Solution, Status
from microwright.structures.files import StructureSet, read_structures
from microwright.structures.files.images import SUFFIXES
from microwright.studio.analyses import as_batch
from microwright.studio.designing import solved
from microwright.studio.gallery import bar_of
from microwright.studio.session import Job, Stopped, Structure

#: structures that the page solves at most; a larger set is the command line's
MOST = 400
#: seconds between two looks at a training
TICK = 0.5


@contextmanager
def _short_names() -> Iterator[None]:
    """Errors name the file as the visitor knows it, not the place where the upload lies."""
    try:
        yield
    except InputError as error:
        upload = re.escape(tempfile.gettempdir()) + r"/gradio/[0-9a-f]+/"
        raise InputError(re.sub(upload, "", str(error))) from error


def read_files(paths: Sequence[str], properties: Sequence[str]) -> StructureSet:
    """All structures of the files; they must be of one size.

    Raises:
        InputError: no file, one that cannot be read, different sizes, or too many.
    """
    if not paths:
        raise InputError("files: none given; upload images or volumes first")
    with _short_names():
        needed, undeclared = dimensions_of(properties), undeclared_dimensions(properties)
        sets = [read_structures(path, dimensions=needed, undeclared=undeclared) for path in paths]
    sizes = {content.structures.shape[1:] for content in sets}
    if len(sizes) > 1:
        raise InputError(f"files: structures of different sizes, {sorted(sizes)}; give those of one size")
    structures = np.concatenate([content.structures for content in sets])
    if len(structures) > MOST:
        raise InputError(f"files: {len(structures)} structures; the page takes {MOST}, `microwright label` takes more")
    return StructureSet(structures, tuple(name for content in sets for name in content.names))


def solve_files(content: StructureSet, properties: Sequence[str], job: Job) -> Iterator[Structure]:
    """Each structure with its properties, as soon as it is solved.

    Raises:
        InputError: properties that no solver has for such structures.
        Stopped: the job is to end.
    """
    solver = solver_for(properties, content.structures.ndim - 1)
    for name, phase in zip(content.names, content.structures, strict=True):
        solution = solved(solver, as_batch(phase), job)
        told = _told([item.name for item in solver.properties], solution)
        yield Structure(name, phase, solver, told, float(solution.error_bar[0, 0]))


def _told(names: Sequence[str], solution: Solution) -> str:
    pairs = zip(names, solution.values[0].tolist(), solution.error_bar[0].tolist(), strict=True)
    status = Status(int(solution.status[0]))
    remedy = f" · {status.name.lower().replace('_', ' ')}: {status.remedy}" if status.remedy else ""
    return ", ".join(f"{name} {value:.6g}{bar_of(bar)}" for name, value, bar in pairs) + remedy


@dataclass
class Lesson:
    """A training on a visitor's files.

    Attributes:
        files: of the structures.
        properties: names; those of the table where there is one.
        table: CSV of properties, or None.
        method: name of the method.
        model: folder for the model.
        folder: for what lies in between.
        notes: what the visitor should be told.
    """

    files: Sequence[str]
    properties: Sequence[str]
    table: str | None
    method: str
    model: Path
    folder: Path
    notes: list[str] = field(default_factory=list)

    def run(self, job: Job) -> Iterator[str]:
        """Label and train, telling how far it is.

        Raises:
            InputError: files, table or properties that cannot be used, or a training that failed.
            Stopped: the job is to end.
        """
        if self.model.exists():
            raise InputError(f"model: {self.model} exists already; give another folder")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        yield "reading …"
        names, told = self._table()
        content = read_files(self.files, names)
        yield f"solving {len(content.structures)} structures for {', '.join(names)} …"
        store = self.folder / "labelled.zarr"
        self._label(content, names, store, told, job)
        yield from self._train(store, job)

    def _table(self) -> tuple[list[str], NDArray[np.float64] | None]:
        """Names of the properties, and the visitor's own values where there is a table."""
        if self.table is None:
            return list(self.properties), None
        with _short_names():
            known = import_set(self._gathered(), self.folder / "imported.zarr", table=self.table)
        return list(known.property_names), np.asarray(known.properties[:])

    def _gathered(self) -> Path:
        """The one file, or a folder with all images under their own names."""
        if len(self.files) == 1:
            return Path(self.files[0])
        folder = self.folder / "images"
        folder.mkdir()
        for file in map(Path, self.files):
            if file.suffix.lower() not in SUFFIXES:
                raise InputError(f"{file.name}: with a table give images (PNG, TIFF), or one file with all of them")
            shutil.copy(file, folder / file.name)
        return folder

    def _label(
        self, content: StructureSet, names: Sequence[str], store: Path, own: NDArray[np.float64] | None, job: Job
    ) -> None:
        """Values by our solver: designs are verified by it, so the model learns its values, not the table's."""
        solver = solver_for(names, content.structures.ndim - 1)
        source = ArraySource(content.structures, {"file": "upload"})
        labelled = label(source, solver, store, len(content.structures), progress=lambda done, total: job.check())
        if own is None:
            return
        ours = np.asarray(labelled.properties[:])
        gap = float(np.nanmax(np.abs(ours - own) / np.maximum(np.abs(own), 1e-12)))
        self.notes.append(
            f"the table's values differ from the solver's by up to {100 * gap:.2g} %; the model learns the solver's, "
            "which also verifies its designs"
        )

    def _train(self, store: Path, job: Job) -> Iterator[str]:
        command = [
            *(sys.executable, "-c", "from microwright.cli.main import run; run()", "train", self.method),
            *(
                "--recipe",
                "smoke",
                "--data",
                str(store),
                "--out",
                str(self.model),
                "--accelerator",
                "cpu",
                "--workers",
                "1",
            ),
        ]
        log = self.folder / "log"
        start = time.monotonic()
        with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as training:
            try:
                while training.poll() is None:
                    yield f"training {self.method}: {time.monotonic() - start:.0f} s"
                    job.check()
                    time.sleep(TICK)
            except (Stopped, GeneratorExit):
                training.kill()
                raise
        if training.returncode:
            last = (log.read_text(errors="replace").strip().splitlines() or ["no word"])[-1]
            raise InputError(f"training: {last.removeprefix('microwright: ')}")


def usable_names() -> list[str]:
    """Names of properties that have a default solver, for the page's list."""
    optical = ["absorption", "reflectance", "transmittance"]
    elastic = ["C11", "C22", "C33", "C44", "C55", "C66", "C12", "C13", "C23", "E1", "E2", "E3", "nu12", "K", "zener"]
    return [*optical, *elastic, "k11", "k22", "k33"]
