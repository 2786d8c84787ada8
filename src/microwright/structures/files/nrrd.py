"""NRRD volumes (Teem's nearly raw raster data), version 1 to 5: raw, gzip and text encodings, attached or detached.

A detached data file must lie beside its header: a name with a folder in it is refused.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import RawImages, Reading, reading_errors

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}


def read_nrrd(path: Path, reading: Reading) -> RawImages:
    """One image or volume; NRRD counts the first axis fastest, and so the array is indexed in the header's order."""
    with reading_errors(path, "NRRD"):
        content = path.read_bytes()
        fields, attached = _header(path, content)
        sizes = tuple(int(n) for n in fields["sizes"].split())
        if len(sizes) != int(fields["dimension"]):
            raise InputError(f"{path}: {fields['dimension']} axes, but sizes {sizes}; correct the header")
        dtype = np.dtype(_CODES[fields["type"]]).newbyteorder(">" if fields.get("endian") == "big" else "<")
        reading.check_size(path, sizes, dtype.itemsize)
        data = attached if (name := _detached(fields)) is None else _beside(path, name).read_bytes()
        values = _decode(data, fields["encoding"], dtype, int(np.prod(sizes)))
        return RawImages(values.reshape(sizes[::-1]).transpose(), len(sizes), _spacing(fields, len(sizes)))


def _header(path: Path, content: bytes) -> tuple[dict[str, str], bytes]:
    """Fields of the header, and what follows its empty line."""
    head, separator, data = content.partition(b"\r\n\r\n" if b"\r\n\r\n" in content[:65536] else b"\n\n")
    lines = head.decode("ascii", errors="replace").splitlines()
    if not lines or not lines[0].startswith("NRRD000"):
        raise InputError(f"{path}: no NRRD file; give one that begins with NRRD000")
    pairs = (line.split(":", 1) for line in lines[1:] if ": " in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip() for key, value in pairs}, data if separator else b""


def _detached(fields: dict[str, str]) -> str | None:
    return fields.get("data file", fields.get("datafile"))


def _beside(path: Path, name: str) -> Path:
    if Path(name).name != name or (path.parent / name).resolve().parent != path.parent.resolve():
        raise InputError(f"{path}: its data file {name!r} must lie beside it; put it there and write its name alone")
    return path.parent / name


def _decode(data: bytes, encoding: str, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    expected = count * dtype.itemsize
    if encoding in ("gzip", "gz"):
        data = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, expected + 1)
    elif encoding in ("ascii", "text", "txt"):
        return np.array(data.split()[:count], dtype=np.float64).reshape(count)
    elif encoding != "raw":
        raise ValueError(f"unknown encoding {encoding!r}")
    if len(data) < expected:
        raise ValueError(f"the data end {expected - len(data)} bytes early")
    return np.frombuffer(data, dtype, count)


def _spacing(fields: dict[str, str], axes: int) -> tuple[float, ...] | None:
    if "spacings" in fields:
        sizes = [float(word) for word in fields["spacings"].split()]
    elif "space directions" in fields:
        vectors = [word.strip("()").split(",") for word in fields["space directions"].split()]
        sizes = [float(np.linalg.norm([float(part) for part in vector])) for vector in vectors]
    else:
        return None
    return tuple(sizes) if len(sizes) == axes and np.isfinite(sizes).all() else None
