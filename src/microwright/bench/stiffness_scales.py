"""How much ``bench.stiffness`` measures: ``smoke`` in the tests, ``cpu`` on a small machine, ``paper`` as the paper."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from microwright.bench.forward.settings import RegOnlyTraining
from microwright.bench.simulated_annealing import AnnealingSettings
from microwright.errors import InputError
from microwright.training.settings import VaeRegressionTraining


@dataclass(frozen=True)
class StiffnessScale:
    """One size of all experiments.

    Attributes:
        name: what the command line calls it.
        grid: voxels along an edge.
        widths: standard deviations of the filters, voxels; every triple of them is a filter.
        volumes: labelled volumes of the family.
        morphologies: filters of fibres along the first axis and of sheets normal to it, voxels.
        morphology_volumes: labelled volumes of the two, half each.
        tolerance: relative error of a label.
        width: factor on the networks' filters and dense neurons.
        latent: dimensions of the latent.
        training: of VAE-Regression on the family, for C11.
        six_training: the same for all six entries.
        morphology_training: of VAE-Regression on the two morphologies.
        decoder_training: of the decoder of a model that infers, on what it decodes.
        own_volumes: that a model infers, and that its second training learns besides.
        second_training: of a model that infers.
        plain_epochs: of the VAE that does not know the property.
        reg_only: training of the Reg-only network for C11.
        six_reg_only: the same for all six entries.
        judge: training of the Reg-only network that searches rely on.
        seeds: of splits and first weights, for C11.
        six_seeds: the same for all six entries at once; none leaves the case out.
        inverse_seeds: of the networks of the inverse experiments.
        targets: of C11, GPa.
        vectors: targets of all six entries, from the test part.
        annealing: search from random starts.
        starts: their number.
        refining: search from the inferred points.
    """

    name: str
    grid: int
    widths: tuple[float, ...]
    volumes: int
    morphologies: tuple[tuple[float, ...], tuple[float, ...]]
    morphology_volumes: int
    tolerance: float = 1e-3
    width: float = 1.0
    latent: int = 16
    training: VaeRegressionTraining = field(default_factory=VaeRegressionTraining)
    six_training: VaeRegressionTraining = field(default_factory=VaeRegressionTraining)
    morphology_training: VaeRegressionTraining = field(default_factory=VaeRegressionTraining)
    decoder_training: VaeRegressionTraining = field(
        default_factory=lambda: VaeRegressionTraining(
            epochs=10, steps_per_epoch=100, learning_rate=1e-3, final_rate=0.05
        )
    )
    own_volumes: int = 1280
    second_training: VaeRegressionTraining = field(
        default_factory=lambda: VaeRegressionTraining(epochs=8, final_rate=0.05, divergence=0.15, regression=50.0)
    )
    plain_epochs: int = 200
    reg_only: RegOnlyTraining = field(default_factory=RegOnlyTraining)
    six_reg_only: RegOnlyTraining = field(default_factory=RegOnlyTraining)
    judge: RegOnlyTraining = field(default_factory=RegOnlyTraining)
    seeds: tuple[int, ...] = (0,)
    six_seeds: tuple[int, ...] = (0,)
    inverse_seeds: tuple[int, ...] = (0,)
    targets: tuple[float, ...] = (20.0, 25.0, 30.0, 35.0, 50.0, 80.0)
    vectors: int = 10
    annealing: AnnealingSettings = field(default_factory=AnnealingSettings)
    starts: int = 5
    refining: AnnealingSettings = field(default_factory=lambda: AnnealingSettings(10, 0.02, 0.005, 1.0))


#: few passes: a larger rate than the paper's that falls, and a divergence that lets latents tell structures apart early
_QUICK = VaeRegressionTraining(learning_rate=1e-3, final_rate=0.05, divergence=0.03)
_CPU = StiffnessScale(
    "cpu",
    grid=24,
    widths=(1.0, 2.0, 3.0, 4.0),
    volumes=2560,
    morphologies=((4.0, 1.0, 1.0), (1.0, 4.0, 4.0)),
    morphology_volumes=2048,
    width=0.5,
    training=replace(_QUICK, epochs=40),
    six_training=replace(_QUICK, epochs=30),
    morphology_training=replace(
        _QUICK, epochs=50, steps_per_epoch=100, patience=50, divergence=0.15, warm_up=0.6, prior_rate=5.0
    ),
    plain_epochs=12,
    reg_only=RegOnlyTraining(epochs=40, final_rate=0.05),
    six_reg_only=RegOnlyTraining(epochs=30, final_rate=0.05),
    judge=RegOnlyTraining(epochs=16, final_rate=0.05),
    inverse_seeds=(0, 1, 2),
)
_PAPER = StiffnessScale(
    "paper",
    grid=51,
    widths=(1.0, 3.0, 5.0, 7.0),
    volumes=64 * 139,
    morphologies=((7.0, 1.0, 1.0), (1.0, 7.0, 7.0)),
    morphology_volumes=512,
    tolerance=1e-4,
    seeds=tuple(range(10)),
    six_seeds=tuple(range(10)),
)
_SMOKE = StiffnessScale(
    "smoke",
    grid=12,
    widths=(1.0, 2.0),
    volumes=48,
    morphologies=((2.0, 0.5, 0.5), (0.5, 2.0, 2.0)),
    morphology_volumes=40,
    tolerance=1e-2,
    width=0.1,
    latent=4,
    training=VaeRegressionTraining(epochs=2),
    six_training=VaeRegressionTraining(epochs=2),
    morphology_training=VaeRegressionTraining(epochs=2),
    decoder_training=VaeRegressionTraining(epochs=1),
    own_volumes=8,
    second_training=VaeRegressionTraining(epochs=1),
    plain_epochs=1,
    reg_only=RegOnlyTraining(epochs=2),
    six_reg_only=RegOnlyTraining(epochs=2),
    judge=RegOnlyTraining(epochs=2),
    targets=(20.0, 30.0),
    vectors=2,
    annealing=AnnealingSettings(iterations=4),
    starts=2,
    refining=AnnealingSettings(2, 0.05, 0.005, 0.2),
)
SCALES = {scale.name: scale for scale in (_SMOKE, _CPU, _PAPER)}


def stiffness_scale(name: str) -> StiffnessScale:
    """The scale ``smoke``, ``cpu`` or ``paper``.

    Raises:
        InputError: another name.
    """
    if name not in SCALES:
        raise InputError(f"scale: '{name}' is unknown; choose {', '.join(SCALES)}")
    return SCALES[name]
