"""Inverses and solves that are right on every device.

On the CPU each matrix of a batch is factorised on its own: batched LAPACK drivers of PyTorch's CPU builds were measured
to return wrong values, without an error, for matrices larger than about 150 once ``torch.set_num_threads`` had been
called with more than one thread. Batches of one are right. On a GPU the batch goes to the device as it is.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor

#: below this size a general LAPACK inverse is faster than splitting into blocks
_BLOCK = 160


def solve(a: Complex[Tensor, "batch n n"], b: Complex[Tensor, "batch n k"]) -> Complex[Tensor, "batch n k"]:
    """a⁻¹ b."""
    if a.is_cuda or a.shape[0] == 1:
        return torch.linalg.solve(a, b)
    return torch.cat([torch.linalg.solve(a[i : i + 1], b[i : i + 1]) for i in range(a.shape[0])])


def inverse(a: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch n n"]:
    """a⁻¹ by LU with row pivoting."""
    if a.is_cuda or a.shape[0] == 1:
        return torch.linalg.inv(a)
    return torch.cat([torch.linalg.inv(a[i : i + 1]) for i in range(a.shape[0])])


def accretive_inverse(a: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch n n"]:
    """a⁻¹ by halves, for matrices whose Hermitian part is positive, so that no pivoting across the halves is needed.

    Most of the work is matrix products, which run nearer to the machine's peak than triangular solves.
    """
    n = a.shape[-1]
    if n <= _BLOCK:
        return inverse(a)
    h = n // 2
    p = accretive_inverse(a[..., :h, :h])
    left = a[..., h:, :h] @ p
    right = p @ a[..., :h, h:]
    s = accretive_inverse(a[..., h:, h:] - left @ a[..., :h, h:])
    lower = -s @ left
    top = torch.cat([p - right @ lower, -right @ s], -1)
    return torch.cat([top, torch.cat([lower, s], -1)], -2)


def right_solve(b: Complex[Tensor, "batch n n"], a: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch n n"]:
    """b a⁻¹."""
    return solve(a.mT, b.mT).mT
