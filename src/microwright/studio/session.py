"""What a visitor of the page has: designs, the structure at hand, and a job that can be stopped.

Visitors are told apart by the session hash of their browser tab; nothing of one is reachable from another.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np
from jaxtyping import UInt8

from microwright.design.exact import solver_for_target
from microwright.design.outcome import Outcome
from microwright.errors import InputError
from microwright.physics.property import Solver
from microwright.studio.ask import Ask
from microwright.studio.gallery import rep, values

if TYPE_CHECKING:
    from microwright.studio.editing import Edited


class Stopped(KeyboardInterrupt):
    """The visitor pressed Cancel, or the time is up: treated as Ctrl-C is, so that what was solved is kept."""


class Job:
    """A piece of work that ends when its visitor says so or its time is up.

    Args:
        seconds: time limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self._stop = threading.Event()

    def stop(self) -> None:
        """End the job at its next check."""
        self._stop.set()

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline

    def check(self) -> None:
        """Pass, or end the work.

        Raises:
            Stopped: the job is to end.
        """
        if self._stop.is_set() or self.late:
            raise Stopped


@dataclass
class Structure:
    """A structure to look at, edit or ask about.

    Attributes:
        name: how the page calls it.
        phase: 0/1.
        solver: what its properties are computed with.
        told: its properties in words.
        bar: error bar of its first property; NaN where unknown.
    """

    name: str
    phase: UInt8[np.ndarray, "*grid"]
    solver: Solver
    told: str = ""
    bar: float = math.nan


@dataclass
class Session:
    """One visitor.

    Attributes:
        folder: for files to take away; removed with the session.
        ask: what the designs were asked by.
        outcome: the designs.
        order: numbers of the designs in the order that the gallery shows.
        chosen: what Look closer and Edit start from.
        edited: the structure that is being changed, if any.
        brought: structures from files, solved.
        job: what runs.
    """

    folder: Path
    ask: Ask | None = None
    outcome: Outcome | None = None
    order: list[int] = field(default_factory=list)
    chosen: Structure | None = None
    edited: Edited | None = None
    brought: list[Structure] = field(default_factory=list)
    job: Job | None = None

    def choose(self, index: int) -> None:
        """Take the design of that number as the structure at hand.

        Raises:
            InputError: no such design.
        """
        if self.outcome is None or self.ask is None or not 0 <= index < len(self.outcome.designs):
            raise InputError(f"design {index}: there is none; make designs first")
        designs = self.outcome.designs
        solver = solver_for_target(self.ask.designer.solver, self.outcome.target)
        told = f"{values(designs, index)} · {rep(designs, index)}{self.outcome.verdicts[index]}"
        bar = float(designs.error_bar[index, 0])
        self.chosen = Structure(f"design {index}", designs.structures[index], solver, told, bar)

    def at_hand(self) -> Structure:
        """The chosen structure.

        Raises:
            InputError: none is.
        """
        if self.chosen is None:
            raise InputError("structure: none chosen; make designs or bring a file, and choose one")
        return self.chosen

    def start(self, seconds: float) -> Job:
        """A new job in the place of the one that may still run."""
        self.stop()
        self.job = Job(seconds)
        return self.job

    def stop(self) -> None:
        """End what runs."""
        if self.job is not None:
            self.job.stop()


class Sessions:
    """All visitors, by the session hash of their tab."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, request: gr.Request) -> Session:
        """The visitor's session, made at the first call."""
        key = request.session_hash or ""
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(Path(mkdtemp(prefix="microwright-studio-")))
            return self._sessions[key]

    def close(self, request: gr.Request) -> None:
        """Forget a visitor who left: end the job, remove the files."""
        with self._lock:
            session = self._sessions.pop(request.session_hash or "", None)
        if session is not None:
            _discard(session)

    def close_all(self) -> None:
        """Forget everyone, at the end of the program."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            _discard(session)


def _discard(session: Session) -> None:
    session.stop()
    shutil.rmtree(session.folder, ignore_errors=True)
