"""Networks initialised from a seed, without touching the caller's random state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def seeded(seed: int, build: Callable[[], Network]) -> Network:
    """``build()`` with the global random state set to ``seed`` during the call and restored after it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
