"""One run of a program: in a folder of its own, within a time limit, with nothing of it left running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from microwright.errors import InputError
from microwright.physics.external.base import SimulationError

STDOUT, STDERR = "stdout.txt", "stderr.txt"
#: bytes that a program may print before it is stopped
MAX_PRINTED = 256 * 2**20
#: characters of what it printed that a log keeps, from the end
TAIL = 20_000
#: seconds between looks at what it has printed
LOOK = 0.5


def run_command(command: Sequence[str], folder: Path, time_limit_s: float) -> None:
    """Run ``command`` in ``folder``; what it prints goes to ``stdout.txt`` and ``stderr.txt`` there.

    The program leads a process group of its own, which is killed whole when the run ends, however it ends.

    Raises:
        InputError: there is no such program.
        SimulationError: it took too long, printed too much, or ended with an error.
    """
    with (folder / STDOUT).open("wb") as out, (folder / STDERR).open("wb") as err:
        try:
            process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            raise InputError(
                f"simulator: {command[0]!r} cannot be started ({error.strerror}); check the command, or install it"
            ) from error
        try:
            _wait(process, folder, time.monotonic() + time_limit_s, time_limit_s)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode != 0:
        raise SimulationError(f"ended with {_ending(process.returncode)}")


def printed(folder: Path) -> str:
    """The end of what a run printed, for its log."""
    parts = [f"--- {name}\n{_tail(folder / name)}" for name in (STDOUT, STDERR)]
    return "\n".join(part.rstrip() for part in parts)


def _wait(process: subprocess.Popen[bytes], folder: Path, deadline: float, limit: float) -> None:
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise SimulationError(f"stopped after the time limit of {limit:g} s")
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(LOOK, left))
            return
        if sum((folder / name).stat().st_size for name in (STDOUT, STDERR)) > MAX_PRINTED:
            raise SimulationError(f"stopped: it had printed more than {MAX_PRINTED} bytes")


def _ending(code: int) -> str:
    return f"exit status {code}" if code > 0 else f"signal {signal.Signals(-code).name}"


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        text = file.read().decode("utf-8", errors="replace")
    # what a program prints goes on to terminals and pages: no control characters but line ends and tabs
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
