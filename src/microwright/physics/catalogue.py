"""Which solver: by the spec in a file, or by the properties that a user names.

A new engine is one line in ``ENGINES`` and, if users are to reach it by property names, one in ``DEFAULTS``. Engines
are imported when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from microwright.errors import InputError
from microwright.physics.property import Solver

#: ``engine`` of a spec -> module and class, which has ``from_spec``
ENGINES = {
    "rcwa": ("microwright.physics.optics", "RcwaSolver"),
    "rcwa-spectrum": ("microwright.physics.optics.spectrum", "SpectralSolver"),
    "staggered": ("microwright.physics.optics.staggered", "StaggeredSolver"),
    "elasticity": ("microwright.physics.elasticity", "ElasticSolver"),
    "conduction": ("microwright.physics.conduction", "ConductionSolver"),
    "command": ("microwright.physics.external", "CommandSolver"),
    "function": ("microwright.physics.external", "FunctionSolver"),
    "surrogate": ("microwright.physics.surrogate", "SurrogateSolver"),
}


def solver_from_spec(spec: dict[str, Any]) -> Solver:
    """The solver that ``spec`` (of ``Solver.spec``) describes.

    Raises:
        InputError: no such engine, or a spec that its engine does not understand.
    """
    engine = spec.get("engine")
    if not isinstance(engine, str) or engine not in ENGINES:
        raise InputError(f"solver: unknown engine {engine!r}; this version has {', '.join(ENGINES)}")
    try:
        return _engine(engine).from_spec(spec)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"solver: the spec of engine {engine!r} is damaged ({error!r}); make the file again"
        ) from error


def solver_for(properties: Sequence[str], dimensions: int) -> Solver:
    """The default solver of the named properties for structures of that many axes.

    Args:
        properties: names, for instance ``["absorption"]`` or ``["C11", "C12"]``.
        dimensions: 2 or 3.

    Raises:
        InputError: unknown names, names of different engines, or a dimension that the engine does not have.
    """
    default = _default_of(properties)
    if default.dimensions not in (None, dimensions):
        raise InputError(
            f"property: {', '.join(properties)} is for {default.dimensions}-D structures, these are {dimensions}-D; "
            "choose another property or other structures"
        )
    return default.make(tuple(properties), dimensions)


def dimensions_of(properties: Sequence[str]) -> int | None:
    """Grid axes that the default solver of the named properties needs; None where it takes 2 and 3.

    Raises:
        InputError: unknown names, or names of different engines.
    """
    return _default_of(properties).dimensions


def _optical(properties: tuple[str, ...], dimensions: int) -> Solver:
    from microwright.physics.optics import default_cell

    return _engine("rcwa")(default_cell(), properties=properties)


def _elastic(properties: tuple[str, ...], dimensions: int) -> Solver:
    return _engine("elasticity")(properties=properties, dimensions=dimensions)


def _conductive(properties: tuple[str, ...], dimensions: int) -> Solver:
    return _engine("conduction")(properties=properties, dimensions=dimensions)


@dataclass(frozen=True)
class Default:
    """The default solver of a family of properties.

    Attributes:
        pattern: regular expression of their names.
        names: how a message describes them.
        make: from names and number of axes to the solver.
        dimensions: axes that it needs; None for 2 or 3.
    """

    pattern: str
    names: str
    make: Callable[[tuple[str, ...], int], Solver]
    dimensions: int | None = None


DEFAULTS = (
    Default(r"absorption(:\d+)?|reflectance|transmittance", "absorption, reflectance, transmittance", _optical, 2),
    Default(r"C\d\d|E\d|G\d\d|nu\d\d|K|zener", "C11 to C66, E1, G12, nu12, K, zener", _elastic),
    Default(r"k\d\d", "k11 to k33", _conductive),
)


def _default_of(properties: Sequence[str]) -> Default:
    if not properties:
        raise InputError("property: none given; name at least one, for instance --property absorption")
    defaults = {name: next((d for d in DEFAULTS if re.fullmatch(d.pattern, name)), None) for name in properties}
    for name, default in defaults.items():
        if default is None:
            known = "; ".join(d.names for d in DEFAULTS)
            raise InputError(f"property: unknown name {name!r}; known are {known}")
    first = defaults[properties[0]]
    if first is None or any(default is not first for default in defaults.values()):
        raise InputError(f"property: no engine has all of {', '.join(properties)}; label them one by one")
    return first


def _engine(name: str) -> Any:
    module, attribute = ENGINES[name]
    return getattr(import_module(module), attribute)
