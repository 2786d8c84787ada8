"""A solver learnt from labels: a convolutional ensemble with calibrated error bars and gradients."""

from microwright.physics.surrogate.guided import GuidedSolver
from microwright.physics.surrogate.network import Ensemble, EnsembleShape
from microwright.physics.surrogate.settings import SurrogateTraining
from microwright.physics.surrogate.solver import SurrogateCard, SurrogateSolver

__all__ = ["Ensemble", "EnsembleShape", "GuidedSolver", "SurrogateCard", "SurrogateSolver", "SurrogateTraining"]
