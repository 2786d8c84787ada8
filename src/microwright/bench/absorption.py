"""Table 1 of Yang et al. (2021) and Table I of Kilic et al. (2023): every 2-D method on the same cell and structures.

Each method designs 30 structures for each of five targets, with five seeds of the draw. All are verified by the solver
of the recipe, whose fidelity the results state. Beyond the papers: coverage, diversity, novelty and calibration
(``bench.metrics``).

Whatever takes long is kept in a folder (labelled sets, models, searches, measurements), so that a run that was stopped
continues, and a second one only draws the figures again.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.bench.metrics import MET_PERCENT, coverage, diversity, interval_coverage, novelty, ranks
from microwright.bench.published import PUBLISHED, TARGETS
from microwright.bench.results import Claim
from microwright.data.labelling import label
from microwright.data.sources import Source
from microwright.data.store import LabelledSet
from microwright.design.designer import Designer
from microwright.design.designs import Designs, read_designs
from microwright.design.targets import Target
from microwright.errors import InputError
from microwright.methods import load_method, method_named, train_method
from microwright.methods.base import LatentMethod, Method
from microwright.methods.bayesian_optimisation import NAME as SEARCH
from microwright.methods.bayesian_optimisation import BayesianOptimisation, from_generator
from microwright.methods.encoded import encoded
from microwright.methods.gan_mdn import NAME as GAN_MDN
from microwright.methods.recipes import RECIPES, Recipe, recipe_named
from microwright.methods.vqvae_mdn import NAME as VQVAE_MDN
from microwright.methods.workspace import Workspace, request_of
from microwright.physics.property import Solver
from microwright.representations.base import EncodingRepresentation
from microwright.representations.gan import GanRepresentation
from microwright.representations.generator_source import GeneratorSource
from microwright.training.settings import MdnTraining

PROPERTY = "absorption"
METHODS = ("gan-mdn", "vqvae-mdn", "pca-mdn", "pixel-mdn", SEARCH)
#: called with a line about what happens next
Report = Callable[[str], None]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        recipe: what the methods are trained with.
        seeds: of the draws.
        search_seeds: of the Bayesian optimisation, which solves for every one of them.
        count: structures per target and seed.
        coverage_targets: targets of the coverage.
        coverage_count: structures for each of them.
        held_out: structures that calibrate the inverters.
        draws: of the posterior at each of them.
        known: training structures that diversity and novelty compare with.
    """

    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    search_seeds: tuple[int, ...] = (0,)
    count: int = 30
    coverage_targets: tuple[float, ...] = tuple(round(0.30 + 0.01 * step, 2) for step in range(51))
    coverage_count: int = 5
    held_out: int = 150
    draws: int = 200
    known: int = 2000


def scale_named(name: str, data: str) -> Scale:
    """The scale ``smoke`` or ``full`` for ``data-1`` or ``data-2``.

    Raises:
        InputError: another name.
    """
    if data not in PUBLISHED:
        raise InputError(f"data: '{data}' is unknown; choose {', '.join(PUBLISHED)}")
    if name == "full":
        return Scale(recipe_named(data))
    if name == "smoke":
        return _smoke(data)
    raise InputError(f"scale: '{name}' is unknown; choose smoke or full")


def _smoke(data: str) -> Scale:
    """Everything once, as little of it as there can be."""
    full, smoke = recipe_named(data), RECIPES["smoke"]
    recipe = replace(
        smoke,
        size=full.size,
        family=full.family,
        labels=64,
        numerics=replace(smoke.numerics, harmonics=25),
        gan=replace(smoke.gan, steps=20),
        mdn=replace(smoke.mdn, epochs=10),
        pixel_mdn=replace(smoke.pixel_mdn, epochs=1),
        search=replace(smoke.search, initial=12, iterations=4),
    )
    return Scale(
        recipe,
        seeds=(0, 1),
        count=3,
        coverage_targets=(0.30, 0.60, 0.65),
        coverage_count=2,
        held_out=8,
        draws=10,
        known=40,
    )


@dataclass(frozen=True)
class Measured:
    """What was measured of one method.

    Attributes:
        name: of the method.
        training_seconds: what the training took here; None for a model that was there already, or half-way.
        rows: one for each target and seed.
        coverage: smallest REP of each coverage target, None where refused; empty where not measured.
        diversity: mean distance of all pairs among the designs of a target, averaged over the targets.
        novelty: mean distance of a design to the nearest training structure.
        calibration: share of true latents inside the credible intervals; empty for a method without inverter.
        metrics: of the training.
        load: average number of processes that wanted a core when the measuring ended.
    """

    name: str
    training_seconds: float | None
    rows: list[dict[str, Any]]
    coverage: dict[str, float | None] = field(default_factory=dict)
    diversity: float | None = None
    novelty: float | None = None
    calibration: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    load: float = 0.0


@dataclass(frozen=True)
class AbsorptionBench:
    """Measures the methods on one data set.

    Attributes:
        data: ``data-1`` or ``data-2``.
        scale: how much.
        folder: where sets, models and measurements are kept.
        given: folders of models that exist already, by method.
        workers: labelling processes.
        report: told what happens next.
        scheduler: address of a Dask scheduler that labels instead.
    """

    data: str
    scale: Scale
    folder: Path
    given: Mapping[str, Path] = field(default_factory=dict)
    workers: int = 1
    report: Report = print
    scheduler: str | None = None

    @property
    def solver(self) -> Solver:
        """Verifies every design."""
        return self.scale.recipe.solver()

    def family(self) -> LabelledSet:
        """The labelled structures that the encoding methods learn from."""
        return self._labelled("family", self.scale.recipe.source(0), self.scale.recipe.labels)

    def known(self) -> Float[Tensor, "m x y"]:
        """Training structures to compare designs with."""
        return self.scale.recipe.source(0).samples(0, self.scale.known).structures

    def method(self, name: str) -> Method:
        """The trained method; trained now where it is missing."""
        folder = self.given.get(name, self.folder / name)
        if not folder.exists():
            self.report(f"{name}: training")
            # a training that an earlier run began was not timed as a whole
            begun = Workspace(folder).folder.exists()
            start = time.perf_counter()
            self._train(name, folder)
            if not begun:
                (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - start))
        return load_method(folder)

    def _train(self, name: str, folder: Path) -> None:
        workspace = Workspace(folder, workers=self.workers, scheduler=self.scheduler, progress=False)
        if name in (GAN_MDN, VQVAE_MDN):
            # these label what they make themselves
            train_method(name, self.scale.recipe, workspace)
        elif name == SEARCH:
            generator = self.method(GAN_MDN)
            assert isinstance(generator, LatentMethod) and isinstance(generator.representation, GanRepresentation)
            origin = {"generator": generator.card.weights_sha256}
            with workspace.opened(request_of(name, self.scale.recipe, workspace.seed, origin["generator"])):
                from_generator(generator.representation, self.solver, origin, self.scale.recipe, workspace)
        else:
            train_method(name, self.scale.recipe, workspace, self.family())

    def measure(self, name: str) -> Measured:
        """Everything about one method; what an earlier run measured of the same weights is not measured again."""
        method = self.method(name)
        path = self.folder / "measured" / f"{name}-{method.card.weights_sha256[:12]}.json"
        if not path.exists():
            measured = self._measure(name, method)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(vars(measured), indent=1))
        return Measured(**json.loads(path.read_text()))

    def _measure(self, name: str, method: Method) -> Measured:
        self.report(f"{name}: designs")
        rows = [row for target in TARGETS for seed in self._seeds(name) for row in [self._row(name, target, seed)]]
        first = [designs for target in TARGETS if (designs := self.designs(name, target, 0)) is not None]
        structures = [torch.as_tensor(designs.structures).float() for designs in first]
        self.report(f"{name}: coverage and calibration")
        latent = isinstance(method, LatentMethod)
        return Measured(
            name=name,
            training_seconds=self._training_seconds(name),
            rows=rows,
            coverage=self._coverage(method) if latent else {},
            diversity=statistics.mean(map(diversity, structures)) if structures else None,
            novelty=novelty(torch.cat(structures), self.known()) if structures else None,
            calibration=self._calibration(method) if isinstance(method, LatentMethod) else {},
            metrics=method.card.metrics,
            load=os.getloadavg()[2],
        )

    def _seeds(self, name: str) -> tuple[int, ...]:
        return self.scale.search_seeds if name == SEARCH else self.scale.seeds

    def _row(self, name: str, target: float, seed: int) -> dict[str, Any]:
        designs = self.designs(name, target, seed)
        row: dict[str, Any] = {"method": name, "target": target, "seed": seed}
        if designs is None:
            return row | {"min_rep": None, "average_rep": None, "std_rep": None, "refused": True}
        return row | designs.summary | {f"{stage}_seconds": value for stage, value in designs.seconds.items()}

    def designs(self, name: str, target: float, seed: int) -> Designs | None:
        """The verified designs, from the folder where they are there; None where the method refuses the target."""
        method = self.method(name)
        place = self.folder / "designs" / f"{name}-{method.card.weights_sha256[:12]}" / f"{target:g}-seed-{seed}"
        if refused(method, target):
            return None
        if not (place / "designs.h5").exists():
            begun = isinstance(method, BayesianOptimisation) and method.begun(target, seed)
            made = Designer(method, self.solver).design(Target.value(PROPERTY, target), self.scale.count, seed)
            place.mkdir(parents=True, exist_ok=True)
            # a search that an earlier run began was not timed as a whole
            timed = {stage: value for stage, value in made.seconds.items() if not (begun and stage == "propose")}
            (place / "seconds.json").write_text(json.dumps(timed))
            made.write_hdf5(place / "designs.h5")
        return replace(read_designs(place / "designs.h5"), seconds=json.loads((place / "seconds.json").read_text()))

    def _training_seconds(self, name: str) -> float | None:
        path = self.folder / name / "seconds.json"
        return json.loads(path.read_text()) if path.exists() else None

    def _coverage(self, method: Method) -> dict[str, float | None]:
        """Smallest REP at each coverage target."""
        designer = Designer(method, self.solver)
        smallest: dict[str, float | None] = {}
        for target in self.scale.coverage_targets:
            wanted, count = Target.value(PROPERTY, target), self.scale.coverage_count
            refuses = refused(method, target)
            smallest[f"{target:.2f}"] = None if refuses else designer.design(wanted, count, 0).summary["min_rep"]
        return smallest

    def _calibration(self, method: LatentMethod) -> dict[str, float]:
        """Coverage of the inverter's credible intervals over latents of structures that no training saw."""
        generator = torch.Generator().manual_seed(0)
        values, latents = self._held_out(method)
        # what the inverter learnt, not the thinner one that designs are drawn from
        as_learnt = method.card.model_copy(update={"temperature": 1.0})
        learnt = LatentMethod(as_learnt, method.representation, method.inverter)

        def posterior(y: Float[Tensor, "p"]) -> Float[Tensor, "draws m"]:
            return learnt.draw_latents(y, self.scale.draws, generator).flatten(1)

        return interval_coverage(ranks(posterior, values, latents))

    def _held_out(self, method: LatentMethod) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n m"]]:
        """Property values and latents of new structures: of the family, or of a representation that cannot encode."""
        representation = method.representation
        if isinstance(representation, EncodingRepresentation):
            held_out = self._labelled("held-out", self.scale.recipe.source(HELD_OUT_SEED), self.scale.held_out)
            used = held_out.usable()
            latents = encoded(representation, torch.as_tensor(held_out.structures[used]).float())
        else:
            assert isinstance(representation, GanRepresentation)
            weights = method.card.weights_sha256
            source = GeneratorSource(representation, HELD_OUT_SEED, {"generator": weights})
            held_out = self._labelled(f"held-out-{weights[:12]}", source, self.scale.held_out)
            used = held_out.usable()
            latents = torch.as_tensor(held_out.latents[used])
        return torch.as_tensor(held_out.properties[used]), latents.flatten(1)

    def notes(self, measured: Sequence[Measured]) -> list[str]:
        """What the figures rest on, in sentences."""
        scale, recipe = self.scale, self.scale.recipe
        numerics = recipe.numerics
        family = self.family()
        notes = [
            f"{scale.count} structures for each target, {len(scale.seeds)} seeds of the draw, one training each. "
            f"Labelled and verified by RCWA at {numerics.harmonics} harmonics ({numerics.formulation}, "
            f"{numerics.precision} precision). PCA and pixels learnt from {len(family.usable())} labelled random "
            f"fields, the quantised autoencoder from {recipe.vqvae_structures} random fields and "
            f"{min(recipe.structures, recipe.labels)} reconstructions of them, with {recipe.vqvae.harmonics} harmonics "
            f"in its loss and {recipe.vqvae.steps} steps of {recipe.vqvae.batch} (the paper: 277,000 of 128).",
            _pixel_note(recipe.pixel_mdn),
            f"The optimiser ran {len(scale.search_seeds)} seed of {recipe.search.initial} Sobol points, shared by the "
            f"targets, and {recipe.search.iterations} further solves for each target; its row is over the "
            f"{scale.count} nearest of all that it solved, and its coverage was not run.",
            f"GAN-MDN draws latents with every σ of the mixture multiplied by {recipe.temperature:g}, VQ-VAE-MDN by "
            f"{recipe.vqvae_temperature:g}; the papers, PCA and pixels by 1. Calibration is that of the mixtures as "
            "they were learnt.",
            f"Coverage is over {scale.coverage_count} structures a target; calibration over {scale.held_out} held-out "
            f"structures with {scale.draws} draws each.",
        ]
        load, cores = max(item.load for item in measured), os.cpu_count() or 1
        if load > cores:
            notes.append(f"The load average was up to {load:.0f} on {cores} cores: other work stretched the seconds.")
        missing = [name for name in METHODS if name not in {item.name for item in measured}]
        return [*self._shortfalls(), *notes, *([f"Not run: {', '.join(missing)}."] if missing else [])]

    def _shortfalls(self) -> list[str]:
        """Where this run is smaller than the full scale, in a sentence."""
        whole, own = (_sizes(scale) for scale in (scale_named("full", self.data), self.scale))
        less = [f"{own[name]} of {whole[name]} {name}" for name in whole if own[name] < whole[name]]
        return [f"Smaller than the full scale: {', '.join(less)}."] if less else []

    def _labelled(self, name: str, source: Source, count: int) -> LabelledSet:
        self.folder.mkdir(parents=True, exist_ok=True)
        where = self.folder / f"{name}.zarr"
        return label(source, self.solver, where, count, workers=self.workers, scheduler=self.scheduler)


def _pixel_note(training: MdnTraining) -> str:
    """How far the network to pixels was trained."""
    passes = "once" if training.epochs == 1 else f"at most {training.epochs} times"
    said = f"The network to pixels went {passes} through its set: a step of it takes seconds."
    if training.epochs > training.patience:
        return said
    return (
        f"{said} Its training is over when the validation loss has not fallen for {training.patience} passes, and was "
        "stopped long before."
    )


def _sizes(scale: Scale) -> dict[str, int]:
    recipe = scale.recipe
    return {
        "seeds of the draw": len(scale.seeds),
        "labelled structures for the methods trained here": recipe.labels,
        "iterations of the optimisation": recipe.search.iterations,
        "structures a target": scale.count,
    }


#: family structures of this seed are in no training set
HELD_OUT_SEED = 9001


def refused(method: Method, target: float) -> bool:
    """Whether the method says that it cannot reach the target."""
    try:
        method.check_target(torch.tensor([target], dtype=torch.float64))
    except InputError:
        return True
    return False


def table_rows(data: str, measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row for each method and target: mean and standard deviation over the seeds, the paper's figure beside."""
    return [
        _table_row(data, item, target, [row for row in item.rows if row["target"] == target])
        for item in measured
        for target in TARGETS
    ]


def _table_row(data: str, item: Measured, target: float, rows: list[dict[str, Any]]) -> dict[str, Any]:
    made = [row for row in rows if row["min_rep"] is not None]
    paper = PUBLISHED[data].get(item.name, {}).get(target)
    row: dict[str, Any] = {"method": item.name, "target": target, "seeds": len(rows), "refused": not made}
    for figure in ("min_rep", "average_rep", "std_rep", "propose_seconds", "verify_seconds"):
        values = [own[figure] for own in made if figure in own]
        row[figure] = statistics.mean(values) if values else None
        row[f"{figure}_spread"] = statistics.stdev(values) if len(values) > 1 else None
    return row | {f"published_{name}": value for name, value in (vars(paper) if paper else {}).items()}


def method_rows(bench: AbsorptionBench, measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """One row for each method: what goes beyond the papers; then the training structures by the same measures."""
    rows: list[dict[str, Any]] = [
        {
            "method": item.name,
            "coverage": coverage(list(item.coverage.values())) if item.coverage else None,
            "coverage_rep": item.coverage,
            "diversity": item.diversity,
            "novelty": item.novelty,
            "calibration": item.calibration,
            "training_seconds": item.training_seconds,
            "metrics": item.metrics,
        }
        for item in measured
    ]
    known = bench.known()
    fresh = bench.scale.recipe.source(HELD_OUT_SEED).samples(0, min(150, len(known))).structures
    reference = {"method": "random fields", "diversity": diversity(known[:500]), "novelty": novelty(fresh, known)}
    return [*rows, reference]


def claims(data: str, rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """The goals of the two leading methods on Data-II."""
    made = []
    for row in rows:
        if data == "data-2" and row["method"] in ("gan-mdn", "vqvae-mdn"):
            limit = row["published_average"]
            made += [_claim(row, "min_rep", "minimum", 0.4), _claim(row, "average_rep", "average", limit)]
    return made


def _claim(row: dict[str, Any], figure: str, word: str, limit: float) -> Claim:
    value, spread = row[figure], row[f"{figure}_spread"]
    met = value is not None and value <= limit
    note = "" if spread is None else f"mean of {row['seeds']} seeds of the draw, standard deviation {spread:.3f}"
    if value is None:
        note = "refused: outside the absorption of the structures that its inverter learnt from"
    elif not met:
        note += f"; missed by {value - limit:.2f}"
    return Claim(f"{row['method']}, {word} REP at {row['target']:g}", value, f"<= {limit:g}", "%", met, note)


def histories(bench: AbsorptionBench) -> dict[float, Float[np.ndarray, "n"]]:
    """REP of each evaluation of the Bayesian optimisation, in order, for each target that it has searched."""
    method = bench.method(SEARCH)
    assert isinstance(method, BayesianOptimisation)
    seed = bench.scale.search_seeds[0]
    return {
        target: 100 * np.asarray(method.search(target, seed).distance(target)) / target
        for target in TARGETS
        if not refused(method, target)
    }


def check_methods(names: Sequence[str]) -> None:
    """Refuse an unknown method before anything long begins.

    Raises:
        InputError: no such method.
    """
    for name in names:
        method_named(name)


__all__ = ["MET_PERCENT", "AbsorptionBench", "Measured", "Scale", "claims", "histories", "method_rows", "scale_named"]
