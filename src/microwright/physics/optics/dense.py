"""Inverses and factorisations that are right on every device.

On the CPU each large matrix of a batch is factorised on its own: batched LAPACK drivers of PyTorch's CPU builds were
measured to return wrong values, without an error, for matrices larger than about 150 once ``torch.set_num_threads``
had been called with more than one thread. Batches of one and small matrices are right. On a GPU the batch goes to the
device as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor

#: rows up to which a batch may be factorised together on the CPU
SMALL = 128


def _one_by_one(a: Tensor) -> bool:
    return not a.is_cuda and a.shape[0] > 1 and a.shape[-1] > SMALL


def inverse(a: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch n n"]:
    """a⁻¹ by LU with row pivoting."""
    if _one_by_one(a):
        return torch.cat([torch.linalg.inv(part) for part in a.split(1)])
    return torch.linalg.inv(a)


def accretive_inverse(a: Complex[Tensor, "batch n n"]) -> Complex[Tensor, "batch n n"]:
    """a⁻¹ by halves, for matrices whose Hermitian part is positive, so that no pivoting across the halves is needed.

    Most of the work is matrix products, which run nearer to the machine's peak than triangular solves.
    """
    n = a.shape[-1]
    if n <= SMALL:
        return inverse(a)
    h = n // 2
    p = accretive_inverse(a[..., :h, :h])
    left = a[..., h:, :h] @ p
    right = p @ a[..., :h, h:]
    s = accretive_inverse(a[..., h:, h:] - left @ a[..., :h, h:])
    result = torch.empty_like(a)
    result[..., h:, h:] = s
    lower = torch.matmul(s, left).neg_()
    result[..., h:, :h] = lower
    result[..., :h, h:] = torch.matmul(right, s).neg_()
    result[..., :h, :h] = p - right @ lower
    return result


class Factorised:
    """LU factors of a batch of matrices, to be solved with more than once."""

    def __init__(self, a: Complex[Tensor, "batch n n"]) -> None:
        self.parts = [torch.linalg.lu_factor(part) for part in (a.split(1) if _one_by_one(a) else (a,))]

    def solve(self, b: Complex[Tensor, "batch n k"]) -> Complex[Tensor, "batch n k"]:
        """a⁻¹ b."""
        return self._each(lambda lu, pivots, part: torch.linalg.lu_solve(lu, pivots, part), b)

    def adjoint(self, b: Complex[Tensor, "batch n k"]) -> Complex[Tensor, "batch n k"]:
        """(a⁻¹)ᴴ b."""
        return self._each(lambda lu, pivots, part: torch.linalg.lu_solve(lu, pivots, part, adjoint=True), b)

    def _each(self, f: Callable[[Tensor, Tensor, Tensor], Tensor], b: Tensor) -> Tensor:
        if len(self.parts) == 1:
            return f(self.parts[0].LU, self.parts[0].pivots, b)
        parts = zip(self.parts, b.split(1), strict=True)
        return torch.cat([f(factors.LU, factors.pivots, part) for factors, part in parts])
