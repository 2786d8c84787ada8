"""Bayesian optimisation towards a target value, one point at a time, restartable.

A Gaussian process learns the property y itself over the unit cube of the latents, not the distance |y − t| to the
target: y is smooth where its distance has a kink at every solution (a composite objective, Astudillo & Frazier 2019).
BoTorch fits the process and maximises the expected improvement of the distance (``target_improvement``).

The hyperparameters are fitted to the first n points for n = n₀, n₀ + r, n₀ + 2r, …, and each step draws from a
generator of its own: what comes next depends on the evaluations alone, so that a search continued from its file is the
same search.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.errors import InputError
from microwright.training import step_generator

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

#: the property at one point of the unit cube
Evaluate = Callable[[Float[Tensor, "m"]], float]

SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the optimisation; the first two are the paper's.

    Attributes:
        initial: points of a scrambled Sobol sequence that come first.
        iterations: points that the optimisation chooses.
        refit_every: points between fits of the hyperparameters.
        restarts: starts of the acquisition's maximisation.
        candidates: random points among which the starts are chosen.
        ascent: iterations of the maximisation.
    """

    initial: int = 250
    iterations: int = 400
    refit_every: int = 50
    restarts: int = 4
    candidates: int = 64
    ascent: int = 15


@dataclass(frozen=True)
class Evaluations:
    """What was solved so far, in order."""

    points: Float[Tensor, "n m"]
    values: Float[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.points)

    def first(self, count: int) -> Evaluations:
        """The first ``count`` of them."""
        return Evaluations(self.points[:count], self.values[:count])

    def with_next(self, point: Float[Tensor, "m"], value: float) -> Evaluations:
        """These and one more."""
        return Evaluations(torch.cat([self.points, point[None]]), torch.cat([self.values, self.values.new([value])]))

    def distance(self, target: float) -> Float[Tensor, "n"]:
        """|y − t|."""
        return (self.values - target).abs()


@dataclass
class TargetSearch:
    """A search for one target.

    Attributes:
        evaluate: the expensive function.
        initial: evaluations that come first.
        target: wanted value t.
        settings: of the optimisation.
        seed: of everything random.
        path: file that keeps every evaluation, or None.
    """

    evaluate: Evaluate
    initial: Evaluations
    target: float
    settings: SearchSettings
    seed: int
    path: Path | None = None
    _fitted: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def run(self) -> Evaluations:
        """All evaluations, the initial ones first; those in the file are not made again.

        Raises:
            InputError: the file belongs to another search, or BoTorch is missing.
        """
        done = self._restored()
        while len(done) < len(self.initial) + self.settings.iterations:
            point = self._next_point(done)
            value = self.evaluate(point)
            self._remember(point, value)
            done = done.with_next(point, value)
        return done

    def _next_point(self, done: Evaluations) -> Float[Tensor, "m"]:
        botorch = _botorch()
        from microwright.methods.target_improvement import LogTargetImprovement

        nearest = float(done.distance(self.target).min()) / self._scale
        acquisition = LogTargetImprovement(self._model(done), self._standardised(self.target), nearest)
        bounds = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, done.points.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_generator(self.seed, len(done)).initial_seed())
            point, _ = botorch.optim.optimize_acqf(
                acquisition,
                bounds,
                q=1,
                num_restarts=self.settings.restarts,
                raw_samples=self.settings.candidates,
                options={"maxiter": self.settings.ascent},
            )
        return point[0].detach()

    def _model(self, done: Evaluations) -> SingleTaskGP:
        """The process given all evaluations, with the hyperparameters of the last fit."""
        fitted = len(done) - (len(done) - len(self.initial)) % self.settings.refit_every
        if fitted not in self._fitted:
            self._fitted[fitted] = self._hyperparameters(done.first(fitted))
        model = self._process(done)
        model.load_state_dict(self._fitted[fitted])
        return model.eval()

    def _hyperparameters(self, done: Evaluations) -> dict[str, Tensor]:
        from gpytorch.mlls import ExactMarginalLogLikelihood

        model = self._process(done)
        _botorch().fit.fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model.state_dict()

    def _process(self, done: Evaluations) -> SingleTaskGP:
        with warnings.catch_warnings():
            # later points crowd round the target, so their mean and deviation are no longer 0 and 1
            warnings.simplefilter("ignore", _botorch().exceptions.InputDataWarning)
            return _botorch().models.SingleTaskGP(
                done.points, self._standardised(done.values)[:, None], outcome_transform=None
            )

    def _standardised(self, value: Any) -> Any:
        """Scaled by the initial evaluations, so that the scale stays the same during the search."""
        return (value - float(self.initial.values.mean())) / self._scale

    @property
    def _scale(self) -> float:
        return max(float(self.initial.values.std()), SMALLEST_SCALE)

    def _header(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "seed": self.seed,
            "initial": self.initial.values.tolist(),
            "settings": {name: value for name, value in asdict(self.settings).items() if name != "iterations"},
        }

    def _restored(self) -> Evaluations:
        done = self.initial
        for line in self._lines():
            done = done.with_next(torch.tensor(line["point"], dtype=torch.float64), line["value"])
        return done.first(len(self.initial) + self.settings.iterations)

    def _lines(self) -> list[dict[str, Any]]:
        """The evaluations in the file; a last line that a kill cut short is dropped from it."""
        if self.path is None:
            return []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")] or [json.dumps(self._header()) + "\n"]
        try:
            header, *rest = [json.loads(line) for line in whole]
        except json.JSONDecodeError as error:
            raise InputError(f"history: {self.path} is damaged ({error}); remove it") from error
        if header != self._header():
            raise InputError(f"history: {self.path} belongs to another search; remove it, or choose another seed")
        self.path.write_text("".join(whole))
        return rest

    def _remember(self, point: Tensor, value: float) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"point": point.tolist(), "value": value}) + "\n")


def sobol_points(count: int, dimensions: int, seed: int) -> Float[Tensor, "count dimensions"]:
    """Scrambled Sobol points in the unit cube."""
    return torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed).draw(count, dtype=torch.float64)


def _botorch() -> Any:
    try:
        import botorch
    except ImportError as error:
        raise InputError("bayesian-optimisation: BoTorch is missing; run `pip install 'microwright[bo]'`") from error
    return botorch
