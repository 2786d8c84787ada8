"""Finite elements on a periodic pixel or voxel grid: one element per voxel, one material per element.

A *field* u (displacement, temperature) with c components lives on the nodes of the grid; a *strain* e = B u (strain,
temperature gradient) with s components is its gradient inside the elements. Elements are bilinear quadrilaterals or
trilinear hexahedra of unit edge, integrated fully (two Gauss points per axis). The material of voxel x is

    D(x) = sum_r a_r(x) D_r,

a sum of few constant matrices D_r (s x s) weighted by *coefficient fields* a_r, so that the stiffness of every element
is the same small sum of constant element matrices

    K_r = integral of B^T D_r B.

Applying the stiffness then is: gather the nodal values of all elements, one matrix product, weight by a_r, scatter.
The field is u = (macroscopic strain) . x + (periodic fluctuation v), and the effective material is the mean energy

    D*_ij = 1/V sum_x w_i(x)^T (sum_r a_r(x) K_r) w_j(x),

with w_i the nodal values of an element in load case i. As the fluctuations make the energy stationary, its derivative
by a_r(x) is the product w_i^T K_r w_j / V itself: the gradient costs no further solve.

In Fourier space the stiffness of a homogeneous medium is a c x c matrix per wave vector. Its inverse, Green's operator,
preconditions the heterogeneous problem: the condition number is the contrast of the phases whatever the grid
(Schneider, Merkert & Kabel, Int. J. Numer. Meth. Eng. 109, 2017; Ladecky et al., Appl. Math. Comput. 446, 2023).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import scipy.fft
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

#: bytes of gathered element values that are worked on at once: a share of the second-level cache, or of a GPU's memory
_SLAB_BYTES = {"cpu": 3 << 19, "cuda": 1 << 28}


def shape_gradients(dimensions: int) -> Float[Tensor, "gauss axes nodes"]:
    """Gradients of the shape functions of the unit square or cube at its Gauss points (each of weight 2^-d)."""
    points = torch.tensor([0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12)], dtype=torch.float64)
    values = torch.stack([1 - points, points])  # (node along an axis, Gauss point)
    slopes = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    corners = list(itertools.product((0, 1), repeat=dimensions))
    gradients = torch.ones(len(corners), dimensions, len(corners), dtype=torch.float64)
    for (g, gauss), axis, (n, node) in itertools.product(enumerate(corners), range(dimensions), enumerate(corners)):
        factors = [(slopes if k == axis else values)[node[k], gauss[k]] for k in range(dimensions)]
        gradients[g, axis, n] = math.prod(float(factor) for factor in factors)
    return gradients


@dataclass(frozen=True, eq=False)
class Elements:
    """The elements of one physics.

    Attributes:
        strain_operators: B at the Gauss points, columns ordered (component, corner).
        materials: the constant matrices D_r.
        unit_strains: nodal values of an element under the unit macroscopic strains, columns of the strain's order.
        components: number c of components of the field.
    """

    strain_operators: Float[Tensor, "gauss strains values"]
    materials: Float[Tensor, "coefficients strains strains"]
    unit_strains: Float[Tensor, "values strains"]
    components: int

    @property
    def dimensions(self) -> int:
        return int(math.log2(len(self.strain_operators)))

    @property
    def stiffness(self) -> Float[Tensor, "coefficients values values"]:
        """K_r, the element matrices."""
        b = self.strain_operators
        return torch.einsum("gsv,rst,gtw->rvw", b, self.materials, b) / len(b)

    @property
    def mean_strain(self) -> Float[Tensor, "strains values"]:
        """Maps an element's nodal values to its mean strain."""
        return self.strain_operators.mean(0)


class PeriodicStiffness:
    """The stiffness matrix of a batch of voxel structures, applied without being assembled.

    Args:
        elements: the physics.
        coefficients: the fields a_r, one set per system.
    """

    def __init__(self, elements: Elements, coefficients: Float[Tensor, "batch coefficients *grid"]) -> None:
        self.elements = elements
        self.coefficients = coefficients
        self.grid = tuple(coefficients.shape[2:])
        self.stacked = elements.stiffness.to(coefficients).flatten(0, 1)  # (coefficients * values, values)

    def __call__(self, u: Float[Tensor, "batch components *grid"]) -> Float[Tensor, "batch components *grid"]:
        """Nodal forces K u of the nodal values u."""
        forces = self._zero_forces()
        for planes, values in self._gather(u):
            self._scatter(forces, self.element_forces(values, planes), planes)
        return _fold(forces)

    def load(self, strains: Float[Tensor, "batch strains"]) -> Float[Tensor, "batch components *grid"]:
        """Nodal forces that drive the fluctuation under macroscopic strains, one strain per system."""
        forces = self._zero_forces()
        values = self._affine(strains)
        for planes in self._slabs():
            self._scatter(forces, self.element_forces(-values, planes), planes)
        return _fold(forces)

    def element_values(
        self, u: Float[Tensor, "batch components *grid"], strains: Float[Tensor, "batch strains"]
    ) -> Iterator[tuple[slice, Float[Tensor, "batch values voxels"]]]:
        """Nodal values w of the elements, macroscopic strain included, slab by slab of the first grid axis.

        Every element's mean is taken off: it carries no strain, and its size would cost single precision digits.
        """
        affine = self._affine(strains)
        for planes, values in self._gather(u):
            corners = values.unflatten(1, (self.elements.components, -1))
            yield planes, corners.sub_(corners.mean(2, keepdim=True)).flatten(1, 2).add_(affine)

    def element_forces(
        self, values: Float[Tensor, "batch values voxels"], planes: slice
    ) -> Float[Tensor, "batch values voxels"]:
        """sum_r a_r K_r w of the elements in some planes; values without voxels are the same in all of them."""
        weights = self.coefficients[:, :, planes].flatten(2).unsqueeze(2)
        products = (self.stacked @ values).unflatten(1, (weights.shape[1], -1))
        if weights.shape[1] == 1:
            return products[:, 0] * weights[:, 0]
        return (products * weights).sum(1)

    def _affine(self, strains: Float[Tensor, "batch strains"]) -> Float[Tensor, "batch values 1"]:
        return (strains.to(self.coefficients) @ self.elements.unit_strains.to(self.coefficients).T)[..., None]

    def _gather(self, u: Tensor) -> Iterator[tuple[slice, Float[Tensor, "batch values voxels"]]]:
        corners = _corner_view(u)
        for planes in self._slabs():
            slab = corners.narrow(2 + len(self.grid), planes.start, planes.stop - planes.start)
            yield planes, slab.reshape(len(u), self.stacked.shape[1], -1)

    def _zero_forces(self) -> Tensor:
        padded = (n + 1 for n in self.grid)
        return self.coefficients.new_zeros(len(self.coefficients), self.elements.components, *padded)

    def _scatter(self, forces: Tensor, values: Tensor, planes: slice) -> None:
        slab = (planes.stop - planes.start, *self.grid[1:])
        corners = values.reshape(len(values), self.elements.components, -1, *slab)
        windows = forces.narrow(2, planes.start, slab[0] + 1)
        for axis, size in enumerate(slab, start=2):
            windows = windows.unfold(axis, size, 1)
        windows = windows.movedim(tuple(range(2, 2 + len(slab))), tuple(range(len(slab))))
        for index, corner in enumerate(itertools.product((0, 1), repeat=len(slab))):
            windows[corner].add_(corners[:, :, index])

    def _slabs(self) -> Iterator[slice]:
        """Slabs of the first grid axis whose element values fit into a near memory."""
        coefficients = self.coefficients
        plane = len(coefficients) * self.stacked.shape[0] * math.prod(self.grid[1:]) * coefficients.element_size()
        thickness = max(1, _SLAB_BYTES[coefficients.device.type] // plane)
        for start in range(0, self.grid[0], thickness):
            yield slice(start, min(start + thickness, self.grid[0]))


class GreenOperator:
    """The inverse stiffness of a homogeneous reference medium, on periodic fields of zero mean.

    The symbol of the reference is the Fourier transform of its response to a unit force at one node, so that it is
    the inverse of exactly the discretisation that it preconditions. It is real and symmetric, as the elements are
    centrally symmetric.
    """

    def __init__(self, elements: Elements, reference: tuple[float, ...], grid: tuple[int, ...], like: Tensor) -> None:
        impulses = torch.zeros(elements.components, elements.components, *grid, dtype=torch.float64)
        impulses.flatten(2)[..., 0] = torch.eye(elements.components, dtype=torch.float64)
        medium = torch.tensor(reference, dtype=torch.float64).view(1, -1, *(1 for _ in grid))
        medium = medium.expand(elements.components, -1, *grid)
        symbol = _rfftn(PeriodicStiffness(elements, medium)(impulses), len(grid)).real.flatten(2)
        symbol[..., 0] = torch.eye(elements.components, dtype=torch.float64)
        inverse = _inverse(symbol)
        inverse[..., 0] = 0.0  # the mean of the field is free: no force drives it
        # each entry twice, for the real and the imaginary part of what it multiplies
        self.symbol = inverse.repeat_interleave(2, dim=-1).to(like)
        self.grid = grid

    def __call__(self, forces: Float[Tensor, "batch components *grid"]) -> Float[Tensor, "batch components *grid"]:
        spectrum = _rfftn(forces, len(self.grid))
        parts = torch.view_as_real(spectrum).flatten(2)
        product = self.symbol[:, 0] * parts[:, :1]
        for column in range(1, parts.shape[1]):
            product.addcmul_(self.symbol[:, column], parts[:, column : column + 1])
        return _irfftn(torch.view_as_complex(product.unflatten(-1, (-1, 2))).view(spectrum.shape), self.grid)


class EnergyProducts(torch.autograd.Function):
    """Effective material of every structure from the fluctuations of its load cases, with the closed-form gradient.

    ``apply(coefficients, fluctuations, elements, strains)`` returns the mean products w_i^T K w_j, (batch, cases,
    cases). The fluctuations are those of these coefficients, at which the energy is stationary: they carry no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        coefficients: Float[Tensor, "batch coefficients *grid"],
        fluctuations: Float[Tensor, "batch cases components *grid"],
        elements: Elements,
        strains: Float[Tensor, "cases strains"],
    ) -> Float[Tensor, "batch cases cases"]:
        ctx.save_for_backward(coefficients, fluctuations, strains)
        ctx.elements = elements
        pairs = zip(coefficients.split(1), fluctuations, strict=True)
        return torch.stack([_energy_products(elements, a, u, strains) for a, u in pairs])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        coefficients, fluctuations, strains = ctx.saved_tensors
        symmetric = (gradients[0] + gradients[0].mT) / 2
        rows = zip(coefficients.split(1), fluctuations, symmetric, strict=True)
        parts = [_energy_gradient(ctx.elements, a, u, strains, weights) for a, u, weights in rows]
        return torch.stack(parts), None, None, None


def _energy_products(elements: Elements, coefficients: Tensor, fluctuations: Tensor, strains: Tensor) -> Tensor:
    stiffness = PeriodicStiffness(elements, coefficients.expand(len(strains), *coefficients.shape[1:]))
    energy = torch.zeros(len(strains), len(strains), dtype=torch.float64, device=coefficients.device)
    for planes, values in stiffness.element_values(fluctuations, strains):
        # one short product per nodal value, summed in double precision: single-precision sums would lose digits
        products = values.transpose(0, 1) @ stiffness.element_forces(values, planes).permute(1, 2, 0)
        energy += products.sum(0, dtype=torch.float64)
    return (energy / math.prod(stiffness.grid)).to(coefficients)


def _energy_gradient(
    elements: Elements, coefficients: Tensor, fluctuations: Tensor, strains: Tensor, weights: Tensor
) -> Tensor:
    stiffness = PeriodicStiffness(elements, coefficients.expand(len(strains), *coefficients.shape[1:]))
    gradient = torch.empty_like(coefficients[0])
    for planes, values in stiffness.element_values(fluctuations, strains):
        partners = (weights @ values.flatten(1)).view_as(values)
        products = (stiffness.stacked @ values).unflatten(1, (len(coefficients[0]), -1))
        gradient[:, planes] = torch.einsum("krvx,kvx->rx", products, partners).view_as(gradient[:, planes])
    return gradient / math.prod(stiffness.grid)


def _corner_view(u: Float[Tensor, "batch components *grid"]) -> Tensor:
    """The values at the corners of every element, as a view (batch, components, 2, ..., 2, *grid)."""
    corners = functional.pad(u, (0, 1) * (u.ndim - 2), mode="circular")
    for axis, size in enumerate(u.shape[2:], start=2):
        corners = corners.unfold(axis, size, 1)
    return corners


def _fold(forces: Float[Tensor, "batch components *grid_plus_one"]) -> Float[Tensor, "batch components *grid"]:
    """Add the last layer of nodes along every axis to the first one, whose periodic image it is."""
    for axis in range(2, forces.ndim):
        size = forces.shape[axis] - 1
        forces.narrow(axis, 0, 1).add_(forces.narrow(axis, size, 1))
        forces = forces.narrow(axis, 0, size)
    return forces.contiguous()


def _inverse(matrices: Float[Tensor, "components components waves"]) -> Float[Tensor, "components components waves"]:
    """Inverses of positive definite matrices, in place, by Gauss-Jordan sweeps over all wave vectors at once."""
    for k in range(len(matrices)):
        pivot = 1 / matrices[k, k]
        row, column = matrices[k] * pivot, matrices[:, k].clone()
        matrices -= column[:, None] * row
        matrices[k] = row
        matrices[:, k] = -column * pivot
        matrices[k, k] = pivot
    return matrices


def _rfftn(fields: Tensor, dimensions: int) -> Tensor:
    """Real Fourier transform of the last axes; pocketfft takes half the time of torch's transform on the CPU."""
    axes = tuple(range(-dimensions, 0))
    if fields.device.type == "cpu":
        return torch.from_numpy(scipy.fft.rfftn(fields.numpy(), axes=axes, workers=1))
    return torch.fft.rfftn(fields, dim=axes)


def _irfftn(spectrum: Tensor, grid: tuple[int, ...]) -> Tensor:
    axes = tuple(range(-len(grid), 0))
    if spectrum.device.type == "cpu":
        return torch.from_numpy(scipy.fft.irfftn(spectrum.numpy(), s=grid, axes=axes, workers=1, overwrite_x=True))
    return torch.fft.irfftn(spectrum, s=grid, dim=axes)
