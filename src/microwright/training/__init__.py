"""Training loops by Lightning: deterministic batches, checkpoints without pickle, resume after a kill."""

from microwright.training.batches import StepBatches, step_generator
from microwright.training.checkpoints import SafetensorsCheckpoints
from microwright.training.fit import TrainerOptions, fit
from microwright.training.seeding import seeded

__all__ = ["SafetensorsCheckpoints", "StepBatches", "TrainerOptions", "fit", "seeded", "step_generator"]
