"""What came of a request: the designs, and everything that was learnt on the way to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from microwright.design.constraints import Constraints
from microwright.design.designs import Designs
from microwright.design.refinement import Round
from microwright.design.targets import Target
from microwright.design.tolerance import Tolerances
from microwright.physics.property import Status


@dataclass(frozen=True)
class Outcome:
    """Designs with their history; everything but the first two may be absent.

    Attributes:
        target: what was asked for.
        designs: what came of it.
        start: values of the target's properties before refinement, in the order of the designs.
        changed: share of the pixels that refinement changed.
        rounds: what each round of refinement reached.
        constraints: what had to be kept, checked again here on every design.
        tolerances: changes under fabrication errors.
        training: structures of the training set, to compare statistics with.
        notes: what the user should be told.
        interrupted: whether Ctrl-C ended the work early.
    """

    target: Target
    designs: Designs
    start: Float[np.ndarray, "n p"] | None = None
    changed: Float[np.ndarray, "n"] | None = None
    rounds: Sequence[Round] = ()
    constraints: Constraints = field(default_factory=Constraints)
    tolerances: Tolerances | None = None
    training: Float[np.ndarray, "m *grid"] | None = None
    notes: Sequence[str] = ()
    interrupted: bool = False

    @property
    def verdicts(self) -> list[str]:
        """One for each design: met, met with a bar too wide to be sure, or missed, as a violated constraint is."""
        values, bars = (torch.as_tensor(part) for part in (self.designs.achieved, self.designs.error_bar))
        told = self.target.verdicts(values, bars)
        bad = [
            status != Status.CONVERGED or bool(violated)
            for status, violated in zip(self.designs.status, self.violations, strict=True)
        ]
        return ["missed" if worse else verdict for verdict, worse in zip(told, bad, strict=True)]

    @property
    def meeting(self) -> int:
        """How many designs meet the target by their values, that is at the solver's fidelity."""
        return sum(verdict.startswith("met") for verdict in self.verdicts)

    @property
    def certain(self) -> int:
        """How many meet it with their whole error bar."""
        return self.verdicts.count("met")

    @property
    def violations(self) -> list[list[str]]:
        """What each design violates."""
        return [self.constraints.violations(structure) for structure in self.designs.structures]
