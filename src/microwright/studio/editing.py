"""A structure under the brush: what each stroke does to its properties, first by the gradient, then solved."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from microwright.design.refinement import FIRST_GUESS, sensitivities
from microwright.design.tolerance import dilated, eroded
from microwright.errors import InputError
from microwright.physics.property import Solution
from microwright.structures.random_fields import gaussian_filter
from microwright.studio.analyses import as_batch
from microwright.studio.designing import StoppableSolver
from microwright.studio.session import Job, Structure

#: pixels of a tiled structure, at most: solving takes longer than a page is waited for beyond
MOST_PIXELS = {2: 256**2, 3: 110**3}


@dataclass
class Edited:
    """A structure that is being changed.

    Attributes:
        original: what it was before the first change.
        phase: what it is now.
        solution: of the structure that was solved last.
        slopes: derivatives of its properties by its pixels.
        solved: the structure that was solved last.
        predicted: what the gradient said of ``phase``; None where it could say nothing.
        history: earlier structures, the latest last.
    """

    original: Structure
    phase: UInt8[np.ndarray, "*grid"]
    solution: Solution | None = None
    slopes: Float[Tensor, "p *grid"] | None = None
    solved: UInt8[np.ndarray, "*grid"] | None = None
    predicted: Float[np.ndarray, "p"] | None = None
    history: list[UInt8[np.ndarray, "*grid"]] = field(default_factory=list)

    def change(self, phase: UInt8[np.ndarray, "*grid"]) -> None:
        """Take a new structure; the present one can be had back."""
        if phase.shape != self.phase.shape or (phase != self.phase).any():
            self.history = [*self.history[-49:], self.phase]
            self._take(phase)

    def undo(self) -> None:
        """Go back by one change.

        Raises:
            InputError: there is none.
        """
        if not self.history:
            raise InputError("undo: nothing was changed yet")
        self._take(self.history.pop())

    def _take(self, phase: UInt8[np.ndarray, "*grid"]) -> None:
        self.phase = phase
        self.predicted = self._prediction()

    def _prediction(self) -> Float[np.ndarray, "p"] | None:
        """First-order prediction of the properties from the structure that was solved last; None where there is none.

        What turns into phase 1 does less, what turns out of it more than the gradient says; refinement's first guess of
        both factors is used here too.
        """
        if self.solution is None or self.slopes is None or self.solved is None or self.solved.shape != self.phase.shape:
            return None
        change = torch.as_tensor(self.phase.astype(float) - self.solved) * torch.as_tensor(
            np.where(self.phase > self.solved, *FIRST_GUESS)
        )
        return (self.solution.values[0].double() + (self.slopes * change).flatten(1).sum(1)).numpy()

    def solve(self, job: Job) -> None:
        """Properties of the structure as it is now, and their derivatives.

        Raises:
            Stopped: the job is to end.
        """
        phase = self.phase
        solver = StoppableSolver(self.original.solver, job)
        columns = range(len(solver.properties))
        solution, slopes = sensitivities(solver, as_batch(phase), columns, workers=1)
        self.solution, self.slopes, self.solved = solution, slopes[0], phase


def smoothed(phase: UInt8[np.ndarray, "*grid"], sigma: float, level: float) -> UInt8[np.ndarray, "*grid"]:
    """Where the structure, smoothed by a Gaussian of ``sigma`` pixels, exceeds ``level``.

    Raises:
        InputError: a negative width.
    """
    if not sigma >= 0:
        raise InputError(f"threshold: a width of {sigma} px is none; give 0 or more")
    grey = as_batch(phase) if sigma == 0 else gaussian_filter(as_batch(phase), float(sigma))
    return (grey[0] > level).numpy().astype(np.uint8)


def grown(phase: UInt8[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "*grid"]:
    """Phase 1 dilated by one pixel."""
    return dilated(as_batch(phase))[0].numpy().astype(np.uint8)


def shrunk(phase: UInt8[np.ndarray, "*grid"]) -> UInt8[np.ndarray, "*grid"]:
    """Phase 1 eroded by one pixel."""
    return eroded(as_batch(phase))[0].numpy().astype(np.uint8)


def tiled(phase: UInt8[np.ndarray, "*grid"], times: int) -> UInt8[np.ndarray, "*grid"]:
    """Copies side by side in one period: features become as many times smaller.

    Raises:
        InputError: less than one copy, or more pixels than can be solved at once.
    """
    if times < 1 or phase.size * times**phase.ndim > MOST_PIXELS[phase.ndim]:
        raise InputError(f"tile: {times} copies along each edge do not go with {phase.shape} pixels; give 2")
    return np.tile(phase, (times,) * phase.ndim)
