r"""Simulated annealing in a latent space: the search that direct inference is compared with.

From a latent z with objective f, a neighbour z' = z + s·√(T/T₀)·w∘ξ (ξ standard normal, w the widths of the latents) is
taken if it is better, and otherwise with probability :math:`e^{-(f' - f)/T}`; the temperature T falls geometrically
from T₀ (Kirkpatrick et al., Science 220, 1983). All starts of a search run side by side, each with a chain of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

#: latents → what is to be small, a relative error
Objective = Callable[[Float[Tensor, "n m"]], Float[Tensor, "n"]]


@dataclass(frozen=True)
class AnnealingSettings:
    """How a search cools.

    Attributes:
        iterations: neighbours tried from each start.
        hot: first temperature, in units of the objective.
        cold: last temperature.
        step: length of a step at the first temperature, in widths of the latents.
    """

    iterations: int = 200
    hot: float = 0.5
    cold: float = 0.01
    step: float = 0.5

    def temperature(self, iteration: int) -> float:
        """Temperature of an iteration, from ``hot`` at 0 to ``cold`` at the last one."""
        share = iteration / max(1, self.iterations - 1)
        return self.hot * (self.cold / self.hot) ** share

    def length(self, iteration: int) -> float:
        """Length of a step, which shrinks with the root of the temperature."""
        return self.step * (self.temperature(iteration) / self.hot) ** 0.5


@dataclass(frozen=True)
class AnnealingRun:
    """What a search found, after 0, 1, ... iterations.

    Attributes:
        latents: best so far of every start.
        objective: their values.
        seconds: spent, all starts together.
    """

    latents: Float[Tensor, "iterations starts m"]
    objective: Float[Tensor, "iterations starts"]
    seconds: Float[Tensor, "iterations"]

    def chosen(self, iteration: int) -> Float[Tensor, "m"]:
        """The best of all starts after so many iterations."""
        return self.latents[iteration, int(self.objective[iteration].argmin())]


def anneal(
    objective: Objective,
    starts: Float[Tensor, "starts m"],
    widths: Float[Tensor, "m"],
    settings: AnnealingSettings,
    generator: torch.Generator,
) -> AnnealingRun:
    """Search from every one of ``starts``.

    Args:
        objective: evaluated once for each start and once for each neighbour.
        starts: first latents.
        widths: typical deviations of the latents, which scale the steps.
        settings: iterations and temperatures.
        generator: of neighbours and acceptance.
    """
    begun = time.perf_counter()
    here, value = starts, objective(starts)
    best, least = here, value
    latents, history, seconds = [best], [least], [time.perf_counter() - begun]
    for iteration in range(settings.iterations):
        noise = torch.randn(here.shape, generator=generator)
        tried = here + settings.length(iteration) * widths * noise
        found = objective(tried)
        chance = torch.rand(len(here), generator=generator)
        taken = chance < ((value - found) / settings.temperature(iteration)).exp()
        here, value = torch.where(taken[:, None], tried, here), torch.where(taken, found, value)
        better = found < least
        best, least = torch.where(better[:, None], tried, best), torch.where(better, found, least)
        latents.append(best)
        history.append(least)
        seconds.append(time.perf_counter() - begun)
    return AnnealingRun(torch.stack(latents), torch.stack(history), torch.tensor(seconds))
