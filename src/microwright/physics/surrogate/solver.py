"""The surrogate as a solver: the ensemble's mean, error bars by conformal prediction, gradients by autograd.

A surrogate on disk is a folder with ``weights.safetensors`` and ``card.json``. Its spec names the folder and the
SHA-256 of the weights, so that a file that was made with one surrogate cannot silently be read with another.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import microwright
from microwright.errors import InputError
from microwright.physics.property import Property, Solution, Solver, check_structures
from microwright.physics.surrogate.network import Ensemble
from microwright.training.tensors import write_tensors

CARD, WEIGHTS = "card.json", "weights.safetensors"


class SurrogateCard(BaseModel):
    """All that a surrogate is but its weights.

    ``simulator`` is the spec of the solver that it stands for, ``metrics`` what was measured on samples that neither
    training nor calibration saw.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["surrogate"] = "surrogate"
    version: str = microwright.__version__
    properties: tuple[tuple[str, str, str], ...]
    network: dict[str, Any]
    simulator: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, float]
    weights_sha256: str = ""


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says, apart: ``mean`` and ``spread`` (standard deviation over the members)."""

    mean: Float[Tensor, "batch properties"]
    spread: Float[Tensor, "batch properties"]


class SurrogateSolver(Solver):
    """A trained ensemble in the place of a simulator.

    Args:
        ensemble: trained.
        card: of the model.
        folder: where it lies.
    """

    def __init__(self, ensemble: Ensemble, card: SurrogateCard, folder: Path) -> None:
        self.ensemble, self.card, self.folder = ensemble.eval(), card, folder
        self.properties = tuple(Property(*item) for item in card.properties)
        self.dimensions = len(ensemble.grid)

    def solve(self, structures: Float[Tensor, "batch *grid"]) -> Solution:
        """Mean of the members; the error bar is NaN where the training kept too few samples for calibration.

        Raises:
            InputError: no phase maps, or another grid than the one it learnt.
        """
        prediction = self.predict(structures)
        bar = self.ensemble.factor * (prediction.spread.detach() + self.ensemble.floor)
        return Solution.exact(prediction.mean, bar)

    def predict(self, structures: Float[Tensor, "batch *grid"]) -> Prediction:
        """Mean and spread of the members; differentiable.

        Raises:
            InputError: as ``solve``.
        """
        values = self.members(structures)
        return Prediction(values.mean(1), values.std(1))

    def members(self, structures: Float[Tensor, "batch *grid"]) -> Float[Tensor, "batch members properties"]:
        """What each member says; differentiable.

        Raises:
            InputError: as ``solve``.
        """
        check_structures(structures, self.dimensions)
        if tuple(structures.shape[1:]) != self.ensemble.grid:
            raise InputError(
                f"structures: grid {tuple(structures.shape[1:])}, the surrogate learnt {self.ensemble.grid}; "
                "resample them, or train a surrogate for this grid"
            )
        return self.ensemble.to(structures.device)(structures)

    def spec(self) -> dict[str, Any]:
        return {
            "engine": "surrogate",
            "folder": str(self.folder),
            "sha256": self.card.weights_sha256,
            "properties": [item.name for item in self.properties],
        }

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> SurrogateSolver:
        """The surrogate in the folder that ``spec`` names.

        Raises:
            InputError: no surrogate there, another one, or a property that it does not know.
        """
        solver = SurrogateSolver.load(Path(spec["folder"]))
        if solver.card.weights_sha256 != spec["sha256"]:
            raise InputError(f"surrogate: {spec['folder']} holds other weights than the spec names; train or copy it")
        known = [item.name for item in solver.properties]
        unknown = [name for name in spec.get("properties", known) if name not in known]
        if unknown:
            raise InputError(f"surrogate: {', '.join(unknown)} was not learnt; it knows {', '.join(known)}")
        return solver

    def save(self, folder: Path) -> SurrogateSolver:
        """Write the model; it appears whole or not at all. The surrogate as it lies there comes back."""
        aside = folder.with_name(folder.name + ".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write_tensors(
            aside / WEIGHTS, {key: value.cpu().contiguous() for key, value in self.ensemble.state_dict().items()}
        )
        card = self.card.model_copy(update={"weights_sha256": _digest(aside / WEIGHTS)})
        (aside / CARD).write_text(card.model_dump_json(indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        aside.replace(folder)
        return SurrogateSolver(self.ensemble, card, folder)

    @staticmethod
    def load(folder: Path) -> SurrogateSolver:
        """The surrogate in ``folder``.

        Raises:
            InputError: none there, or damaged.
        """
        card = _read_card(folder)
        path = folder / WEIGHTS
        try:
            ensemble = Ensemble.from_config(card.network)
            ensemble.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"surrogate: {path} cannot be used ({reason}); train or copy the model again") from error
        if _digest(path) != card.weights_sha256:
            raise InputError(f"surrogate: {path} is not what its card names; train or copy the model again")
        return SurrogateSolver(ensemble, card, folder)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_card(folder: Path) -> SurrogateCard:
    path = folder / CARD
    if not path.is_file():
        raise InputError(f"surrogate: {folder} holds no {CARD}; give the folder that `train surrogate` wrote")
    try:
        return SurrogateCard.model_validate(json.loads(path.read_text()))
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"surrogate: {path} is no surrogate's card ({first}); train or copy it again") from error
