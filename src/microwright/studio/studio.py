"""What all tabs share: visitors, limits, and how many threads solve."""

from __future__ import annotations

from microwright.cli.design import cores
from microwright.studio.ask import DEFAULT_MODEL, Ask
from microwright.studio.designing import stages
from microwright.studio.server import Limits
from microwright.studio.session import Job, Sessions


class Studio:
    """The state behind the page.

    Args:
        limits: what a visitor may use.
        model: what the page starts with: a shipped model's name, or a folder.
    """

    def __init__(self, limits: Limits, model: str = DEFAULT_MODEL) -> None:
        self.limits = limits
        self.model = model
        self.sessions = Sessions()
        self.workers = cores()

    def warm_up(self) -> None:
        """Load the model and solve a few samples, so that the first visitor need not wait for it."""
        designer = Ask(self.model, "").designer
        middle = designer.method.card.properties
        target = ", ".join(f"{card.name}={(card.low + card.high) / 2:.6g}" for card in middle)
        ask = Ask(self.model, target, count=2, refine=False, workers=self.workers)
        for _ in stages(designer, ask.request(), False, Job(60.0)):
            pass
