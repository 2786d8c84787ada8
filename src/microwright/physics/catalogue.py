"""Which solver: by the spec in a file, or by the properties that a user names.

A new engine is one line in ``ENGINES`` and, if users are to reach it by property names, one in ``DEFAULTS``. Engines
are imported when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from microwright.errors import InputError
from microwright.physics.property import Solver

#: ``engine`` of a spec -> module and class, which has ``from_spec``
ENGINES = {
    "rcwa": ("microwright.physics.optics", "RcwaSolver"),
    "staggered": ("microwright.physics.optics", "StaggeredSolver"),
    "elasticity": ("microwright.physics.elasticity", "ElasticSolver"),
    "conduction": ("microwright.physics.conduction", "ConductionSolver"),
}


def solver_from_spec(spec: dict[str, Any]) -> Solver:
    """The solver that ``spec`` (of ``Solver.spec``) describes.

    Raises:
        InputError: no such engine, or a spec that its engine does not understand.
    """
    engine = spec.get("engine")
    if engine not in ENGINES:
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
    makers = {_maker_of(name) for name in properties}
    if len(makers) != 1:
        raise InputError(f"property: {', '.join(properties)} need one engine together; label them one by one")
    solver = makers.pop()(tuple(properties), dimensions)
    if solver.dimensions != dimensions:
        raise InputError(
            f"property: {', '.join(properties)} is for {solver.dimensions}-D structures, these are {dimensions}-D; "
            "choose another property or other structures"
        )
    return solver


def _optical(properties: tuple[str, ...], dimensions: int) -> Solver:
    from microwright.physics.optics import default_cell

    return _engine("rcwa")(default_cell(), properties=properties)


def _elastic(properties: tuple[str, ...], dimensions: int) -> Solver:
    return _engine("elasticity")(properties=properties, dimensions=dimensions)


def _conductive(properties: tuple[str, ...], dimensions: int) -> Solver:
    return _engine("conduction")(properties=properties, dimensions=dimensions)


#: pattern of property names -> their default solver, and how a message describes them
DEFAULTS: dict[str, tuple[Callable[[tuple[str, ...], int], Solver], str]] = {
    r"absorption|reflectance|transmittance": (_optical, "absorption, reflectance, transmittance"),
    r"C\d\d|[EK]\d?|G\d\d|nu\d\d|zener": (_elastic, "C11 to C66, E1, G12, nu12, K, zener"),
    r"k\d\d": (_conductive, "k11 to k33"),
}


def _maker_of(name: str) -> Callable[[tuple[str, ...], int], Solver]:
    for pattern, (maker, _) in DEFAULTS.items():
        if re.fullmatch(pattern, name):
            return maker
    known = "; ".join(names for _, names in DEFAULTS.values())
    raise InputError(f"property: unknown name {name!r}; known are {known}")


def _engine(name: str) -> Any:
    module, attribute = ENGINES[name]
    return getattr(import_module(module), attribute)
