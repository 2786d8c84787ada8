"""The VAE-Regression paper's experiments: volumes, networks and predictions, each made once and kept.

Two labelled sets of filtered noise: the *family*, all filters alike, for forward prediction and for targets of all six
entries; and the *morphologies*, fibres along the first axis and sheets normal to it, whose ranges of C11 overlap, for
inference of C11. What infers volumes has its decoder trained on what inference decodes, with the solver in the loop,
and a second training on volumes that it inferred. Whatever takes long is kept in a folder, so that a run that was
stopped continues.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microwright.bench.forward.data import ForwardData, Part, forward_data
from microwright.bench.forward.settings import RegOnlyTraining
from microwright.bench.published import STIFFNESS_ENTRIES
from microwright.bench.stiffness_scales import StiffnessScale
from microwright.data.labelling import label, open_set
from microwright.data.sources import FilteredNoiseSource
from microwright.data.store import LabelledSet
from microwright.methods.own_volumes import own_volumes
from microwright.methods.vae_regression import VaeRegression, method_of
from microwright.methods.workspace import Workspace
from microwright.physics.elasticity import CgNumerics, ElasticPhases, ElasticSolver
from microwright.representations.vae_regression import VaeRegressionNetworks, VaeRegressionShape
from microwright.training import seeded
from microwright.training.settings import VaeRegressionTraining

#: what is predicted: C11 alone, or all six entries at once
CASES = {"C11": ("C11",), "six": STIFFNESS_ENTRIES}
PHASE_FRACTIONS = (0.25, 0.75)
#: called with a line about what happens next
Report = Callable[[str], None]


@dataclass(frozen=True)
class StiffnessBench:
    """Sets and networks of one scale.

    Attributes:
        scale: how much.
        folder: where sets, networks and measurements are kept.
        workers: labelling processes.
        accelerator: Lightning's ``"cpu"``, ``"gpu"`` or ``"auto"``.
        report: told what happens next.
    """

    scale: StiffnessScale
    folder: Path
    workers: int = 1
    accelerator: str = "auto"
    report: Report = print

    def solver(self, case: str) -> ElasticSolver:
        """Labels and verifies."""
        return ElasticSolver(ElasticPhases(), CgNumerics(tolerance=self.scale.tolerance), CASES[case])

    def family(self) -> LabelledSet:
        """Volumes of all filters with all six entries."""
        filters = tuple(itertools.product(self.scale.widths, repeat=3))
        return self._labelled("family", filters, self.scale.volumes, self.solver("six"), seed=0)

    def morphologies(self) -> LabelledSet:
        """Fibres (even numbers) and sheets (odd ones) with C11."""
        count = self.scale.morphology_volumes
        return self._labelled("morphologies", self.scale.morphologies, count, self.solver("C11"), seed=1)

    def _labelled(
        self, name: str, filters: tuple[tuple[float, ...], ...], count: int, solver: ElasticSolver, seed: int
    ) -> LabelledSet:
        path = self.folder / f"{name}.zarr"
        if not path.exists():
            self.report(f"{name}: labels")
            self.folder.mkdir(parents=True, exist_ok=True)
        source = FilteredNoiseSource((self.scale.grid,) * 3, filters, PHASE_FRACTIONS, seed)
        known = open_set(source, solver, path, count)
        # a whole set needs no lock: several processes may train on it
        return known if known.complete else label(source, solver, path, count, workers=self.workers)

    def forward_data(self, case: str, seed: int) -> ForwardData:
        """The family, split by ``seed``, with the entries of ``case``."""
        return _split(self.family(), CASES[case], seed)

    def morphology_data(self, seed: int) -> ForwardData:
        """The two morphologies with C11."""
        return _split(self.morphologies(), CASES["C11"], seed)

    def vae_regression(self, case: str, components: int, seed: int) -> VaeRegression:
        """Trained on the family."""
        name = f"vae-regression-{case}-{components}-seed-{seed}"
        training = {"C11": self.scale.training, "six": self.scale.six_training}[case]
        return self._vae_regression(name, self.forward_data(case, seed), case, components, training, seed)

    def morphology_model(self, components: int, seed: int) -> VaeRegression:
        """Trained on the two morphologies, for C11, and again with volumes of its own."""
        from microwright.representations.vae_regression_training import train_on_proposals

        first, both = self._inferring(components, seed)
        name = f"morphologies-{components}-seed-{seed}-again"

        def fit() -> dict[str, float]:
            known, held_out = both.train, (both.validation.structures, both.validation.values)
            options, training = self._workspace.trainer(name), self.scale.second_training
            arrays = known.structures, known.values
            return train_on_proposals(first.networks, *arrays, training, options, seed, validation=held_out)

        self._kept(name, first.networks, fit)
        return first

    def jointly_trained(self, components: int, seed: int) -> VaeRegression:
        """Trained on the two morphologies as in the paper, for C11; its prior fitted."""
        name, data = f"morphologies-{components}-seed-{seed}", self.morphology_data(seed)
        return self._vae_regression(name, data, "C11", components, self.scale.morphology_training, seed)

    def _inferring(self, components: int, seed: int) -> tuple[VaeRegression, ForwardData]:
        """The model of the two morphologies before its second training, and what that learns."""
        name, data = f"morphologies-{components}-seed-{seed}", self.morphology_data(seed)
        first = self.jointly_trained(components, seed)
        self._decoder_trained(first, name, data, "C11", seed)
        path = self.folder / "own" / f"{name}.safetensors"
        if not path.exists():
            self.report(f"{name}: volumes of its own")
        asked = data.train.values, self.scale.own_volumes, seed
        own = forward_data(*own_volumes(first, self.solver("C11"), *asked, path), seed)
        return first, _joined(data, own)

    def six_model(self, components: int, seed: int) -> VaeRegression:
        """Trained on the family, for all six entries, and its decoder once more."""
        first, name = self.vae_regression("six", components, seed), f"six-{components}-seed-{seed}"
        self._decoder_trained(first, name, self.forward_data("six", seed), "six", seed)
        return first

    def _decoder_trained(self, method: VaeRegression, name: str, data: ForwardData, case: str, seed: int) -> None:
        """Train the decoder of ``method`` on what inference decodes, and solve."""
        from microwright.representations.vae_regression_inference import train_decoder

        name, networks = f"{name}-decoder", method.networks

        def fit() -> dict[str, float]:
            arrays, held_out = (data.train.structures, data.train.values), data.validation
            options, training = self._workspace.trainer(name), self.scale.decoder_training
            validation = held_out.structures, held_out.values
            return train_decoder(networks, *arrays, self.solver(case), training, options, seed, validation=validation)

        self._kept(name, networks, fit)

    def _vae_regression(
        self,
        name: str,
        data: ForwardData,
        case: str,
        components: int,
        training: VaeRegressionTraining,
        seed: int,
    ) -> VaeRegression:
        networks = seeded(seed, lambda: VaeRegressionNetworks(self._shape(case, components)))

        def fit() -> dict[str, float]:
            from microwright.representations.vae_regression_inference import fit_prior

            metrics = self._fit(name, networks, data, training, seed)
            return metrics | fit_prior(networks, data.train.structures, data.train.values, training.mirrored, seed)

        metrics = self._kept(name, networks, fit)
        solver = self.solver(case)
        return method_of(networks, solver.properties, data.train.values, solver.spec(), {"seed": seed}, metrics)

    def plain_vae(self, seed: int) -> VaeRegressionNetworks:
        """Encoder and decoder trained on the family without the property: regression weighs nothing, and the prior is
        one Gaussian that does not depend on it."""
        name = f"vae-seed-{seed}"
        networks = seeded(seed, lambda: VaeRegressionNetworks(self._shape("C11", 1)))
        for layer in (networks.generator.means, networks.generator.log_variances):
            torch.nn.init.zeros_(layer.weight).requires_grad_(False)
        training = replace(self.scale.training, regression=0.0, epochs=self.scale.plain_epochs)
        data = self.forward_data("C11", seed)
        self._kept(name, networks, lambda: self._fit(name, networks, data, training, seed))
        return networks

    def _fit(
        self, name: str, networks: VaeRegressionNetworks, data: ForwardData, training: VaeRegressionTraining, seed: int
    ) -> dict[str, float]:
        # here, because Lightning takes seconds to import
        from microwright.representations.vae_regression_training import train_vae_regression

        options = self._workspace.trainer(name)
        held_out = (data.validation.structures, data.validation.values)
        return train_vae_regression(
            networks, data.train.structures, data.train.values, training, options, seed, validation=held_out
        )

    def reg_only(self, case: str, seed: int) -> Any:
        """The Reg-only network, trained on the family."""
        training = {"C11": self.scale.reg_only, "six": self.scale.six_reg_only}[case]
        return self._reg_only(f"reg-only-{case}-seed-{seed}", self.forward_data(case, seed), case, training, seed)

    def judge(self, seed: int) -> Any:
        """The Reg-only network, trained on what the mixture's second training learns of C11."""
        _, both = self._inferring(2, seed)
        return self._reg_only(f"judge-seed-{seed}", both, "C11", self.scale.judge, seed)

    def _reg_only(self, name: str, data: ForwardData, case: str, training: RegOnlyTraining, seed: int) -> Any:
        from microwright.bench.forward.reg_only import RegOnlyNetwork, train_reg_only

        network = seeded(seed, lambda: RegOnlyNetwork(self._shape(case, 1)))

        def fit() -> dict[str, float]:
            options = self._workspace.trainer(name)
            return train_reg_only(network, data.train, data.validation, training, options, seed)

        self._kept(name, network, fit)
        return network

    def _shape(self, case: str, components: int) -> VaeRegressionShape:
        grid = (self.scale.grid,) * 3
        return VaeRegressionShape(grid, self.scale.latent, components, self.scale.width, len(CASES[case]))

    @property
    def _workspace(self) -> Workspace:
        return Workspace(self.folder / "networks", accelerator=self.accelerator, progress=False)

    def _kept(self, name: str, network: torch.nn.Module, train: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Train or take what an earlier run left; the processor's seconds are one of the metrics."""

        def timed() -> dict[str, float]:
            self.report(f"{name}: training")
            start = time.process_time()
            return train() | {"processor_s": time.process_time() - start}

        self._workspace.folder.mkdir(parents=True, exist_ok=True)
        return self._workspace.kept(name, network, timed)

    def measured(self, name: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Rows called ``name``; what an earlier run measured is not measured again."""
        path = self.folder / "measured" / f"{name}.json"
        if not path.exists():
            self.report(f"{name}: measuring")
            rows = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rows))
        return json.loads(path.read_text())


def _joined(data: ForwardData, own: ForwardData) -> ForwardData:
    """Training and validation parts of both; the test part stays the first one's."""
    return ForwardData(_both(data.train, own.train), _both(data.validation, own.validation), data.test)


def _both(one: Part, other: Part) -> Part:
    structures = torch.cat([one.structures, other.structures.to(one.structures)])
    return Part(structures, torch.cat([one.values, other.values]))


def _split(known: LabelledSet, names: tuple[str, ...], seed: int) -> ForwardData:
    used = known.usable()
    wanted = [known.property_names.index(name) for name in names]
    structures = torch.as_tensor(known.structures[used])
    values: Float[Tensor, "n p"] = torch.as_tensor(known.properties[used][:, wanted]).float()
    return forward_data(structures, values, seed)
