"""Training loops by Lightning: deterministic batches, checkpoints without pickle, resume after a kill.

``fit`` and ``checkpoints`` import Lightning, which takes seconds, and are therefore not imported here.
"""

from microwright.training.batches import StepBatches, step_generator
from microwright.training.seeding import seeded
from microwright.training.settings import TrainerOptions

__all__ = ["StepBatches", "TrainerOptions", "seeded", "step_generator"]
