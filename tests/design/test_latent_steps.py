"""Steps in the latent space: no error grows, what helps is kept, and what is told is told of the proposals."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from microwright.design.latent_steps import NEAR, latent_steps
from microwright.design.refinement import RefinementNumerics, refine
from microwright.design.targets import Target, parse_target
from microwright.methods.base import Proposals
from microwright.representations.base import Representation
from tests.design.toy import ToySolver, fields

SOLVER = ToySolver()


class Level(Representation):
    """A smooth field cut at a level: the latent's one coordinate raises it."""

    grid = (24, 24)
    latent_shape = (1,)
    latent_box = (-2.0, 2.0)

    def __init__(self, reach: float = 1.0) -> None:
        super().__init__()
        self.reach = reach
        ramp = torch.linspace(0, 1, 24)
        self.field = (ramp[:, None] + ramp[None]) / 2

    def decode(self, latents: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch x y"]:
        return torch.sigmoid(20 * (self.field - 0.5 + self.reach * latents[:, :, None]))

    def config(self) -> dict[str, float]:
        return {"reach": self.reach}

    @torch.no_grad()
    def structures(self, latents: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch x y"]:
        return (self.decode(latents) > 0.5).float()


def proposals(representation: Level, levels: list[float]) -> Proposals:
    latents = torch.tensor(levels)[:, None]
    return Proposals(representation.structures(latents), latents)


@pytest.mark.parametrize("text", ["absorption={}", "absorption={}, phase_fraction=0.2..0.9", "absorption>={}"])
def test_far_proposals_come_nearer_and_none_goes_away(text: str) -> None:
    representation = Level()
    # the toy's absorption falls and rises with the level; the goal is what a level in the middle has
    wanted = float(SOLVER.solve(proposals(representation, [0.1]).structures).values[0, 0])
    target = parse_target(text.format(round(wanted, 4)), "absorption")
    own = proposals(representation, [-0.4, -0.3, 0.1, 0.35])
    stepped = latent_steps(representation, own, target, SOLVER)
    refined = stepped.before(refine(stepped.structures, target, SOLVER, numerics=RefinementNumerics(rounds=1)))
    assert (refined.misfit <= refined.start_misfit).all()
    far = refined.start_misfit > NEAR
    assert far.any()
    assert refined.misfit[far].mean() < 0.9 * refined.start_misfit[far].mean()
    near = ~far
    assert torch.equal(stepped.structures[near], own.structures[near])


def test_a_decoder_that_the_latent_does_not_move_costs_one_call_more_and_changes_nothing() -> None:
    representation = Level(reach=0.0)
    own = proposals(representation, [0.1, 0.2])
    target = Target.value("absorption", 0.99)
    stepped = latent_steps(representation, own, target, SOLVER)
    assert torch.equal(stepped.structures, own.structures)
    assert stepped.calls == 4


def test_what_is_told_starts_at_the_proposals() -> None:
    representation = Level()
    own = proposals(representation, [-0.4, 0.35])
    target = Target.value("absorption", float(SOLVER.solve(fields(1, 24, 3)).values[0, 0]))
    stepped = latent_steps(representation, own, target, SOLVER)
    refined = stepped.before(refine(stepped.structures, target, SOLVER))
    start = SOLVER.solve(own.structures).values[:, :1].double()
    torch.testing.assert_close(refined.start_values, start)
    expected = (refined.structures != own.structures).flatten(1).double().mean(1)
    torch.testing.assert_close(refined.changed, expected)
    calls = [entry.calls for entry in refined.rounds]
    assert calls[0] == 2 and calls == sorted(calls)
