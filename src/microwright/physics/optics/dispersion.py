"""A cell at other wavelengths: which built-in materials its numbers are, and the stack that they make.

A cell holds refractive indices at one wavelength. Where a number agrees with a built-in material's table there, other
wavelengths take that table; where none does, the number is kept, which is exact for vacuum and an assumption otherwise.
"""

from __future__ import annotations

from microwright.errors import InputError
from microwright.physics.optics.cell import Film, Mirror, OpticalCell, PatternedLayer
from microwright.physics.optics.materials import BUILT_IN, material
from microwright.physics.optics.spectrum import MaterialFilm, MaterialPattern, MaterialStack, Medium

#: distance between a number and a table at which they are taken for the same
AGREEMENT = 1e-3


def medium_of(index: complex, wavelength_nm: float) -> Medium:
    """The name of the built-in material with that index at that wavelength, or the number itself."""
    for name in BUILT_IN:
        try:
            tabulated = material(name).index(wavelength_nm)
        except InputError:  # outside the table
            continue
        if abs(tabulated - index) <= AGREEMENT * abs(index):
            return name
    return index


def dispersive(cell: OpticalCell) -> MaterialStack:
    """The cell's layers as materials, so that it can be computed at other wavelengths."""
    at = cell.wavelength_nm
    below = cell.substrate
    return MaterialStack(
        period_nm=cell.period_nm,
        layers=tuple(_layer(layer, at) for layer in cell.layers),
        superstrate=medium_of(cell.superstrate, at),
        substrate=below if isinstance(below, Mirror) else medium_of(below, at),
        theta_deg=cell.theta_deg,
        phi_deg=cell.phi_deg,
        polarisation=cell.polarisation,
    )


def _layer(layer: Film | PatternedLayer, wavelength_nm: float) -> MaterialFilm | MaterialPattern:
    if isinstance(layer, Film):
        return MaterialFilm(layer.thickness_nm, medium_of(layer.index, wavelength_nm))
    low, high = (medium_of(index, wavelength_nm) for index in (layer.index_low, layer.index_high))
    return MaterialPattern(layer.thickness_nm, low, high, layer.channel)


def tabulated_range(stack: MaterialStack) -> tuple[float, float]:
    """Lowest and highest wavelength that every named material of the stack has, nm; all of them where none is named."""
    media: list[object] = [stack.superstrate, stack.substrate]
    for layer in stack.layers:
        media += [layer.medium] if isinstance(layer, MaterialFilm) else [layer.low, layer.high]
    tables = [material(medium) for medium in media if isinstance(medium, str)]
    low = max((table.wavelengths_nm[0] for table in tables), default=1.0)
    high = min((table.wavelengths_nm[-1] for table in tables), default=float("inf"))
    return low, high
