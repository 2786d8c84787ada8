"""What commands say while they work and when they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from microwright.data.labelling import Progress as Callback


@contextmanager
def sample_bar(title: str) -> Iterator[Callback]:
    """A bar on the error stream, drawn from the first report to the last; yields the function that takes (done, total).

    Until it is first called other bars may be drawn, as a training does before and after it labels.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(title, total=None)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if done >= total:
            bar.stop()

    try:
        yield report
    finally:
        bar.stop()


def say(text: str) -> None:
    """One line on the output stream, as it is: neither wrapped nor read as markup, whatever a path contains."""
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
