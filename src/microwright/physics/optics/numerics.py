"""How finely the dense engine computes a cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from microwright.errors import InputError
from microwright.physics.optics.formulations import FORMULATIONS, Formulation
from microwright.physics.optics.orders import FourierOrders, Truncation, fourier_orders

Precision = Literal["single", "double"]


@dataclass(frozen=True)
class RcwaNumerics:
    """How finely the cell is computed.

    Attributes:
        harmonics: at most this many Fourier orders N (the largest symmetric set is taken).
        formulation: ``"li"`` (Li's rules on pixel edges) or ``"laurent"``.
        truncation: ``"square"`` or ``"circular"``.
        precision: ``"single"`` (complex64) or ``"double"`` (complex128); values are float64 either way.
        memory_mib: working memory that one chunk of a batch may take.
    """

    harmonics: int = 169
    formulation: Formulation = "li"
    truncation: Truncation = "square"
    precision: Precision = "single"
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        fourier_orders(self.harmonics, self.truncation)
        if self.formulation not in FORMULATIONS:
            raise InputError(f"formulation: {self.formulation!r} is unknown; use {' or '.join(FORMULATIONS)}")
        if self.precision not in get_args(Precision):
            raise InputError(f"precision: {self.precision!r} is unknown; use single or double")
        if not self.memory_mib >= 1:
            raise InputError(f"memory_mib: must be at least 1, got {self.memory_mib!r}")

    @property
    def orders(self) -> FourierOrders:
        """The Fourier orders kept."""
        return fourier_orders(self.harmonics, self.truncation)

    def bytes_per_structure(self) -> int:
        """Rough peak of working memory per structure: twenty matrices of 2N rows."""
        return 20 * (2 * len(self.orders)) ** 2 * (8 if self.precision == "single" else 16)

    @property
    def dtype(self) -> torch.dtype:
        """The complex type of the dense matrices."""
        return torch.complex64 if self.precision == "single" else torch.complex128

    @property
    def coth_tolerance(self) -> float:
        """Relative error allowed to the rational approximation of y coth y.

        It is reached by the highest evanescent orders, which hardly matter: 1e-4 was measured to move no share of the
        power by more than rounding in single precision does.
        """
        return 1e-4 if self.precision == "single" else 1e-10
