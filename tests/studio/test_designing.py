"""A request stage by stage: first pictures, progress, cancel, time limit."""

from __future__ import annotations

import numpy as np
import torch

from microwright.studio.designing import StoppableSolver, stages
from microwright.studio.session import Job


def test_first_samples_come_before_the_refined_designs(ask, job):
    seen = list(stages(ask.designer, ask.request(), True, job))
    first = next(stage for stage in seen if stage.outcome is not None)
    assert not first.final and seen[-1].final
    assert all(stage.share <= later.share for stage, later in zip(seen, seen[1:], strict=False))
    assert seen[-1].outcome.designs.worst_rep.mean() < first.outcome.designs.worst_rep.mean()
    assert any("best error so far" in stage.message for stage in seen)


def test_cancel_keeps_what_was_solved(ask, job):
    work = stages(ask.designer, ask.request(), True, job)
    stage = next(stage for stage in work if "round" in stage.message)
    job.stop()
    *_, stage = work
    assert stage.final and stage.outcome.interrupted and "cancelled" in stage.message
    designs = stage.outcome.designs
    again = ask.designer.solver.solve(torch.as_tensor(designs.structures).float()).values
    assert np.allclose(designs.achieved, again.detach().numpy(), atol=1e-5)


def test_cancel_before_anything_is_solved(ask, job):
    job.stop()
    last = list(stages(ask.designer, ask.request(), True, job))[-1]
    assert last.final and last.outcome is None and "cancelled" in last.message


def test_time_limit_is_said(ask):
    last = list(stages(ask.designer, ask.request(), True, Job(1e-6)))[-1]
    assert last.final and "time limit" in last.message


def test_a_visitor_who_leaves_ends_the_job(ask, job):
    work = stages(ask.designer, ask.request(), True, job)
    next(stage for stage in work if stage.outcome is not None)
    next(work)
    work.close()
    try:
        job.check()
    except KeyboardInterrupt:
        return
    raise AssertionError("the job goes on")


def test_small_parts_give_the_same_values(ask, job):
    solver = ask.designer.solver
    structures = torch.rand(20, 64, 64, generator=torch.Generator().manual_seed(0)).round()
    whole, parts = solver.solve(structures).values, StoppableSolver(solver, job).solve(structures).values
    assert torch.allclose(whole, parts, atol=1e-6)
