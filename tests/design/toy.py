"""A cheap solver and method to test the designer with: nonlinear, nonlocal, differentiable, translation invariant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from microwright.methods.base import Method, Proposals
from microwright.methods.card import ModelCard, PartCard, property_cards
from microwright.physics.property import Property, Solution, Solver, Status, check_structures
from microwright.structures.random_fields import gaussian_random_field


class ToySolver(Solver):
    """Two properties from the power spectrum; ``certify`` knows a systematic error of ``ToySolver.systematic``."""

    properties = (Property("absorption", "1", "toy"), Property("second", "1", "toy"))
    systematic = 0.004

    def __init__(self, dimensions: int = 2) -> None:
        self.dimensions = dimensions

    def spec(self) -> dict[str, Any]:
        return {"engine": "toy"}

    def solve(self, structures: Tensor) -> Solution:
        check_structures(structures, self.dimensions)
        x = structures.double()
        axes = tuple(range(1, x.ndim))
        spectrum = torch.fft.fftn(x, dim=axes)
        k = torch.stack(torch.meshgrid(*[torch.fft.fftfreq(n) * n for n in x.shape[1:]], indexing="ij"))
        k2 = k.square().sum(0)
        smooth = torch.fft.ifftn(spectrum * torch.exp(-k2 / 60), dim=axes).real
        power = spectrum.abs().square() / x[0].numel() ** 2
        shape = (power * k2 / (30 + k2) * torch.exp(-k2 / 80)).sum(axes)
        first = torch.tanh(1.2 * x.mean(axes) + smooth.square().mean(axes) + 6 * shape)
        second = x.mean(axes).square() + 6 * (power * k[0].square() / (1 + k2) * torch.exp(-k2 / 60)).sum(axes)
        return Solution.exact(torch.stack([first, second], dim=1))

    def certify(self, structures: Tensor, tolerance: float) -> Solution:
        solution = self.solve(structures)
        shifted = solution.values + self.systematic * (1 + structures.double().flatten(1).mean(1, keepdim=True))
        return replace(solution, values=shifted, error_bar=torch.full_like(shifted, min(tolerance, 0.002)))


class DivergingSolver(ToySolver):
    """Never converges."""

    def solve(self, structures: Tensor) -> Solution:
        solution = super().solve(structures)
        return replace(solution, status=torch.full_like(solution.status, Status.NOT_CONVERGED))


class ToyMethod(Method):
    """Random fields, whatever the target."""

    def __init__(self, size: int = 32) -> None:
        solver = ToySolver()
        values = solver.solve(fields(64, size, seed=9)).values
        self.card = ModelCard(
            method="toy",
            version="",
            properties=property_cards(solver.properties[:1], values[:, :1]),
            grid=(size, size),
            solver=solver.spec(),
            representation=PartCard(kind="none", config={}),
            inverter=PartCard(kind="none", config={}),
            training={"structures": {"family": "gaussian random field", "grid": [size, size], "mean": 0.0, "std": 2.0}},
            metrics={},
        )

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        return {}

    def propose(self, target: Tensor, count: int, generator: torch.Generator) -> Proposals:
        self.check_target(target)
        structures = fields(count, self.card.grid[0], int(generator.initial_seed()))
        return Proposals(structures, torch.zeros(count, 1))


def fields(count: int, size: int = 32, seed: int = 0, fraction: float = 0.35, dimensions: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gaussian_random_field((size,) * dimensions, 0.0, 2.0, fraction, count, generator=generator).double()
