r"""What is physically there: a stack of films, at least one of them patterned, lit from above.

::

            θ, φ  ↘   incident plane wave, wavelength λ           superstrate  n₀ (lossless)
        ───────────────────────────────────────────────── z = 0
            layers[0]      Film                                   thickness_nm, index
        ─────────────────────────────────────────────────
            layers[1]      PatternedLayer  ▓▓░░▓░▓▓▓░░░▓          phase 0: index_low, phase 1: index_high
        ─────────────────────────────────────────────────
            ...                                                   repeated with period_nm along x and y
        ───────────────────────────────────────────────── z = Σ thickness
                           transmitted light  ↘                   substrate n, or MIRROR (perfect)

Conventions: time factor :math:`e^{-i\omega t}`, so that :math:`n + ik` with :math:`k \ge 0` absorbs; z points down,
with the light; lengths in nm; angles in degrees. The tangential wave vector is :math:`n_0 k_0 \sin\theta\,(\cos\varphi,
\sin\varphi)`. A relaxed structure (values between the phases) interpolates :math:`\varepsilon = (n + ik)^2` linearly.

Polarisation: with :math:`\hat p = (\cos\theta\cos\varphi, \cos\theta\sin\varphi, -\sin\theta)` and
:math:`\hat s = (-\sin\varphi, \cos\varphi, 0)`, the choices are ``"p"``, ``"s"``,
``"x"``: :math:`\cos\varphi\,\hat p - \sin\varphi\,\hat s` (the electric field along x at normal incidence),
``"y"``: :math:`\sin\varphi\,\hat p + \cos\varphi\,\hat s`, and ``"unpolarised"``: the mean over x and y.

Reflectance R is the power reflected, transmittance T the power that crosses the last interface into the substrate
(0 for a perfect mirror; an absorbing substrate swallows it), absorption what is lost in the layers: A = 1 − R − T.
"""

from __future__ import annotations

import cmath
import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, get_args

from microwright.errors import InputError

Polarisation = Literal["x", "y", "p", "s", "unpolarised"]


class Mirror(Enum):
    """The perfect mirror as a substrate: no tangential electric field, no loss."""

    PERFECT = "mirror"


MIRROR = Mirror.PERFECT


@dataclass(frozen=True)
class Film:
    """A uniform layer.

    Attributes:
        thickness_nm: thickness d > 0.
        index: complex refractive index n + ik, k ≥ 0.
    """

    thickness_nm: float
    index: complex

    def __post_init__(self) -> None:
        _check_positive("thickness_nm", self.thickness_nm)
        object.__setattr__(self, "index", _checked_index("index", self.index))


@dataclass(frozen=True)
class PatternedLayer:
    """The layer that the structure fills: ``index_low`` where it is 0, ``index_high`` where it is 1.

    Attributes:
        thickness_nm: thickness d > 0.
        index_low: complex index of phase 0.
        index_high: complex index of phase 1.
        channel: which pattern fills this layer. All layers of channel 0 share one structure ``(batch, x, y)``;
            a cell with further channels takes ``(batch, channel, x, y)``.
    """

    thickness_nm: float
    index_low: complex
    index_high: complex
    channel: int = 0

    def __post_init__(self) -> None:
        _check_positive("thickness_nm", self.thickness_nm)
        object.__setattr__(self, "index_low", _checked_index("index_low", self.index_low))
        object.__setattr__(self, "index_high", _checked_index("index_high", self.index_high))
        if isinstance(self.channel, bool) or not isinstance(self.channel, int) or self.channel < 0:
            raise InputError(f"channel: must be a whole number from 0, got {self.channel!r}")


Layer = Film | PatternedLayer


@dataclass(frozen=True)
class OpticalCell:
    """A periodic stack and the light that falls on it; see the picture at the head of the module.

    Attributes:
        wavelength_nm: vacuum wavelength λ > 0.
        period_nm: period of the square cell along x and y.
        layers: from top to bottom, at least one.
        superstrate: real index of the half-space that the light comes from.
        substrate: complex index of the half-space below, or ``MIRROR``.
        theta_deg: polar angle of incidence θ, 0 ≤ θ < 90.
        phi_deg: azimuth φ of the plane of incidence.
        polarisation: ``"x"``, ``"y"``, ``"p"``, ``"s"`` or ``"unpolarised"``.

    Raises:
        InputError: a field that is NaN, out of range, a gain medium (k < 0), or of another kind.
    """

    wavelength_nm: float
    period_nm: float
    layers: tuple[Layer, ...]
    superstrate: complex = 1.0
    substrate: complex | Mirror = 1.0
    theta_deg: float = 0.0
    phi_deg: float = 0.0
    polarisation: Polarisation = "unpolarised"

    def __post_init__(self) -> None:
        _check_positive("wavelength_nm", self.wavelength_nm)
        _check_positive("period_nm", self.period_nm)
        object.__setattr__(self, "layers", _checked_layers(self.layers))
        object.__setattr__(self, "superstrate", _checked_superstrate(self.superstrate))
        if not isinstance(self.substrate, Mirror):
            object.__setattr__(self, "substrate", _checked_index("substrate", self.substrate))
        _check_angles(self.theta_deg, self.phi_deg)
        if self.polarisation not in get_args(Polarisation):
            raise InputError(
                f"polarisation: {self.polarisation!r} is unknown; use one of {', '.join(get_args(Polarisation))}"
            )

    @property
    def channels(self) -> int:
        """How many different patterns the cell takes."""
        return 1 + max((layer.channel for layer in self.layers if isinstance(layer, PatternedLayer)), default=0)

    @property
    def patterned(self) -> tuple[int, ...]:
        """Positions of the patterned layers within ``layers``."""
        return tuple(i for i, layer in enumerate(self.layers) if isinstance(layer, PatternedLayer))

    @property
    def wavenumber(self) -> float:
        """k₀ = 2π/λ in 1/nm."""
        return 2 * math.pi / self.wavelength_nm

    @property
    def tangential(self) -> tuple[float, float]:
        """Tangential wave vector of the incident light over k₀: n₀ sin θ (cos φ, sin φ)."""
        theta, phi = math.radians(self.theta_deg), math.radians(self.phi_deg)
        radius = complex(self.superstrate).real * math.sin(theta)
        return radius * math.cos(phi), radius * math.sin(phi)

    @property
    def incident_fields(self) -> tuple[tuple[float, float, float], ...]:
        """Electric field vectors (x, y, z down) of unit length, one per polarisation to be averaged over."""
        theta, phi = math.radians(self.theta_deg), math.radians(self.phi_deg)
        p = (math.cos(theta) * math.cos(phi), math.cos(theta) * math.sin(phi), -math.sin(theta))
        s = (-math.sin(phi), math.cos(phi), 0.0)
        x = tuple(math.cos(phi) * a - math.sin(phi) * b for a, b in zip(p, s, strict=True))
        y = tuple(math.sin(phi) * a + math.cos(phi) * b for a, b in zip(p, s, strict=True))
        table = {"p": (p,), "s": (s,), "x": (x,), "y": (y,), "unpolarised": (x, y)}
        return table[self.polarisation]  # type: ignore[return-value]

    def to_json(self) -> dict[str, Any]:
        """The cell as JSON, every index as numbers n and k."""
        return {
            "wavelength_nm": self.wavelength_nm,
            "period_nm": self.period_nm,
            "layers": [_layer_to_json(layer) for layer in self.layers],
            "superstrate": _index_to_json(self.superstrate),
            "substrate": MIRROR.value if isinstance(self.substrate, Mirror) else _index_to_json(self.substrate),
            "theta_deg": self.theta_deg,
            "phi_deg": self.phi_deg,
            "polarisation": self.polarisation,
        }

    @staticmethod
    def from_json(content: dict[str, Any] | str) -> OpticalCell:
        """The cell that ``to_json`` wrote (as a dictionary or as text).

        Raises:
            InputError: a field is missing, unknown or out of range.
        """
        fields = dict(_parsed(content))
        try:
            fields["layers"] = tuple(_layer_from_json(layer) for layer in fields["layers"])
            for name in ("superstrate", "substrate"):
                if name in fields:
                    fields[name] = _half_space_from_json(name, fields[name])
            return OpticalCell(**fields)
        except KeyError as missing:
            raise InputError(f"optical cell: the field {missing} is missing; add it") from None
        except TypeError as error:
            raise InputError(f"optical cell: {error}; compare with the fields of OpticalCell") from None


#: Complex index of a halide perovskite film, CH₃NH₃PbI₃, at 670 nm: L. J. Phillips et al., Data in Brief 5, 926 (2015),
#: ellipsometry of a vapour-grown film, interpolated linearly between the tabulated 668.92 and 670.50 nm
PEROVSKITE_670 = complex(2.48444, 0.24998)
#: Complex index of silver at 670 nm: P. B. Johnson and R. W. Christy, Phys. Rev. B 6, 4370 (1972), interpolated
#: linearly between the tabulated 659.5 and 704.5 nm
SILVER_670 = complex(0.04767, 4.56583)


def default_cell() -> OpticalCell:
    """Halide perovskite patterned against air on silver: 670 nm light, period 850 nm, thickness 130 nm, unpolarised.

    Chosen by measurement (docs/default-cell.md): absorption spans the papers' targets and depends on the shape more
    than on the phase fraction. Sources of the indices: ``PEROVSKITE_670`` (Phillips et al. 2015) and ``SILVER_670``
    (Johnson and Christy 1972), both as tabulated by the refractiveindex.info database (public domain).
    """
    return OpticalCell(
        wavelength_nm=670.0,
        period_nm=850.0,
        layers=(PatternedLayer(130.0, index_low=1.0, index_high=PEROVSKITE_670),),
        superstrate=1.0,
        substrate=SILVER_670,
    )


def _check_positive(name: str, value: float) -> None:
    number = _checked_real(name, value)
    if not number > 0:
        raise InputError(f"{name}: must be above 0 nm, got {number:g}; give a positive length in nm")


def _checked_real(name: str, value: float) -> float:
    if isinstance(value, bool | str | complex) or not _is_number(value) or not math.isfinite(value):
        raise InputError(f"{name}: must be a finite number, got {value!r}")
    return float(value)


def _is_number(value: object) -> bool:
    try:
        complex(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _checked_index(name: str, value: complex) -> complex:
    if not _is_number(value) or not cmath.isfinite(complex(value)):
        raise InputError(f"{name}: must be a finite refractive index n + ik, got {value!r}")
    index = complex(value)
    if index.imag < 0:
        raise InputError(
            f"{name}: k = {index.imag:g} < 0 is a gain medium, which is refused; absorbing media have k > 0"
        )
    if index.real < 0 or index == 0:
        raise InputError(
            f"{name}: n = {index.real:g}, k = {index.imag:g} is no refractive index; give n ≥ 0 and n + ik ≠ 0"
        )
    return index


def _checked_superstrate(value: complex) -> complex:
    index = _checked_index("superstrate", value)
    if index.imag != 0:
        raise InputError(f"superstrate: k = {index.imag:g}, but incident light needs a lossless medium; set k = 0")
    return index


def _checked_layers(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    if not isinstance(layers, tuple | list) or not layers:
        raise InputError("layers: give at least one Film or PatternedLayer, from top to bottom")
    for layer in layers:
        if not isinstance(layer, Film | PatternedLayer):
            raise InputError(f"layers: {layer!r} is neither a Film nor a PatternedLayer")
    return tuple(layers)


def _check_angles(theta_deg: float, phi_deg: float) -> None:
    theta = _checked_real("theta_deg", theta_deg)
    _checked_real("phi_deg", phi_deg)
    if not 0 <= theta < 90:
        raise InputError(f"theta_deg: must lie in [0, 90), got {theta:g}; light at 90° never enters the stack")


def _index_to_json(index: complex) -> dict[str, float]:
    return {"n": complex(index).real, "k": complex(index).imag}


def _index_from_json(name: str, content: Any) -> complex:
    if isinstance(content, dict) and set(content) == {"n", "k"}:
        return complex(_checked_real(f"{name}.n", content["n"]), _checked_real(f"{name}.k", content["k"]))
    raise InputError(f'{name}: must be {{"n": …, "k": …}}, got {content!r}')


def _half_space_from_json(name: str, content: Any) -> complex | Mirror:
    return MIRROR if name == "substrate" and content == MIRROR.value else _index_from_json(name, content)


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Film):
        return {"thickness_nm": layer.thickness_nm, "index": _index_to_json(layer.index)}
    return {
        "thickness_nm": layer.thickness_nm,
        "index_low": _index_to_json(layer.index_low),
        "index_high": _index_to_json(layer.index_high),
        "channel": layer.channel,
    }


def _layer_from_json(content: dict[str, Any]) -> Layer:
    fields: dict[str, Any] = {
        name: _index_from_json(name, value) if name.startswith("index") else value for name, value in content.items()
    }
    return Film(**fields) if "index" in content else PatternedLayer(**fields)


def _parsed(content: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(content, dict):
        return content
    try:
        parsed = json.loads(content)
    except json.JSONDecodeError as error:
        raise InputError(f"optical cell: not JSON ({error}); write it with OpticalCell.to_json") from None
    if not isinstance(parsed, dict):
        raise InputError("optical cell: the JSON is no object; write it with OpticalCell.to_json")
    return parsed
