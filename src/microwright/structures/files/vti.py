"""VTK ImageData (``.vti``), by a reader of our own: ASCII, base64 and raw appended data, plain or zlib-compressed.

The grammar is VTK's XML format for image data (Schroeder, Martin, Lorensen: The Visualization Toolkit, ch. 12). The
header is read by expat with a fixed encoding and without document types, so no entity is ever expanded. VTK counts
x fastest; arrays here are indexed ``[x, y, z]``.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from microwright.errors import InputError
from microwright.structures.files.content import RawImages, Reading, pick_dataset, reading_errors

_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4",
    "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_APPENDED = b"<AppendedData"


@dataclass
class _Element:
    name: str
    attributes: dict[str, str]
    parent: str
    text: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Layout:
    """How the file encodes numbers."""

    order: str
    header: np.dtype[Any]
    compressed: bool
    appended: bytes
    appended_base64: bool


def read_vti(path: Path, reading: Reading) -> RawImages:
    """One scalar array of the image, cell data before point data; a single layer in z is a 2-D image."""
    with reading_errors(path, "VTI"):
        content = path.read_bytes()
        elements = _parse(content)
        layout = _layout(path, content, elements)
        image = next(e for e in elements if e.name == "ImageData")
        piece = next((e for e in elements if e.name == "Piece"), image)
        arrays = {e.attributes.get("Name", str(i)): e for i, e in enumerate(elements) if _is_scalar(e)}
        cells = _cells(piece.attributes.get("Extent") or image.attributes["WholeExtent"])
        shapes = {name: _shape(element, cells) for name, element in arrays.items()}
        name = _pick(path, arrays, shapes, reading.dataset)
        dtype = np.dtype(layout.order + _TYPES[arrays[name].attributes["type"]])
        reading.check_size(path, shapes[name], dtype.itemsize)
        values = _values(arrays[name], layout, dtype, int(np.prod(shapes[name])))
        spacing = tuple(float(s) for s in image.attributes.get("Spacing", "1 1 1").split())
    volume = values.reshape(shapes[name][::-1]).transpose(2, 1, 0)
    if volume.shape[2] == 1:
        return RawImages(volume[..., 0], 2, spacing[:2])
    return RawImages(volume, 3, spacing, countable=False)


def write_vti(path: Path, structures: NDArray[np.uint8], spacing: tuple[float, ...] | None) -> None:
    """One structure as zlib-compressed cell data ``phase``; a 2-D structure is one layer in z."""
    if len(structures) != 1:
        raise InputError(f"{path}: one VTI file holds one structure, these are {len(structures)}; write .npy or .h5")
    volume = structures[0] if structures.ndim == 4 else structures[0][..., None]
    sizes = [*(spacing or (1.0,) * (structures.ndim - 1)), 1.0][:3]
    extent = " ".join(f"0 {n}" for n in volume.shape)
    data = np.ascontiguousarray(volume.transpose(2, 1, 0)).tobytes()
    packed = zlib.compress(data)
    header = np.array([1, len(data), 0, len(packed)], dtype="<u8").tobytes()
    encoded = base64.b64encode(header) + base64.b64encode(packed)
    path.write_text(
        '<?xml version="1.0"?>\n'
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64"'
        ' compressor="vtkZLibDataCompressor">\n'
        f'<ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="{" ".join(f"{s:.17g}" for s in sizes)}">\n'
        f'<Piece Extent="{extent}">\n<CellData Scalars="phase">\n'
        '<DataArray type="UInt8" Name="phase" format="binary">\n'
        f"{encoded.decode()}\n"
        "</DataArray>\n</CellData>\n</Piece>\n</ImageData>\n</VTKFile>\n",
        encoding="ascii",
    )


def _parse(content: bytes) -> list[_Element]:
    """All elements in order. Appended data are no XML when raw: their content is left out."""
    elements: list[_Element] = []
    stack: list[_Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        element = _Element(name, attributes, stack[-1].name if stack else "")
        elements.append(element)
        stack.append(element)

    def refuse(*_: Any) -> None:
        raise InputError("VTI: the file declares a document type; remove it")

    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: stack.pop()
    parser.CharacterDataHandler = lambda text: stack[-1].text.append(text)
    head, mark, _ = content.partition(_APPENDED)
    parser.Parse(head + (b"</VTKFile>" if mark else b""), True)
    return elements


def _layout(path: Path, content: bytes, elements: list[_Element]) -> _Layout:
    attributes = elements[0].attributes
    if elements[0].name != "VTKFile" or attributes.get("type") != "ImageData":
        raise InputError(f"{path}: no VTK ImageData; save the volume as .vti")
    compressor = attributes.get("compressor")
    if compressor not in (None, "vtkZLibDataCompressor"):
        raise InputError(f"{path}: compressed by {compressor}; save it with zlib or without compression")
    order = ">" if attributes.get("byte_order") == "BigEndian" else "<"
    header = np.dtype(order + _TYPES[attributes.get("header_type", "UInt32")])
    _, mark, tail = content.partition(_APPENDED)
    tag, _, appended = tail.partition(b"_")
    return _Layout(order, header, compressor is not None, appended, bool(mark) and b"base64" in tag)


def _is_scalar(element: _Element) -> bool:
    return (
        element.name == "DataArray"
        and element.parent in ("CellData", "PointData")
        and element.attributes.get("NumberOfComponents", "1") == "1"
    )


def _cells(extent: str) -> tuple[int, ...]:
    """Cells along x, y, z; a flat axis counts one layer of cells."""
    bounds = [int(n) for n in extent.split()]
    x, y, z = (high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True))
    return x, y, z


def _shape(element: _Element, cells: tuple[int, ...]) -> tuple[int, ...]:
    if element.parent == "PointData":
        return tuple(n + 1 for n in cells)
    return tuple(max(n, 1) for n in cells)


def _pick(path: Path, arrays: dict[str, _Element], shapes: dict[str, tuple[int, ...]], wanted: str | None) -> str:
    cells = {name: shapes[name] for name, element in arrays.items() if element.parent == "CellData"}
    return pick_dataset(path, cells if cells and wanted is None else shapes, wanted)


def _values(element: _Element, layout: _Layout, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """The numbers of an array: exactly ``count``."""
    kind = element.attributes.get("format", "ascii")
    text = "".join(element.text)
    if kind == "ascii":
        words = text.split()
        values = np.array(words[: count + 1], dtype=np.float64 if dtype.kind == "f" else np.int64)
    elif kind == "binary":
        values = _block("".join(text.split()).encode("ascii"), layout, dtype, count, in_base64=True)
    elif kind == "appended":
        offset = int(element.attributes["offset"])
        if not 0 <= offset < len(layout.appended):
            raise ValueError(f"offset {offset} lies outside the appended data")
        values = _block(layout.appended[offset:], layout, dtype, count, in_base64=layout.appended_base64)
    else:
        raise ValueError(f"unknown format {kind!r}")
    if len(values) != count:
        raise ValueError(f"array of {len(values)} values, the extent says {count}")
    return values


def _block(data: bytes, layout: _Layout, dtype: np.dtype[Any], count: int, in_base64: bool) -> NDArray[Any]:
    stream = _Stream(data, in_base64)
    expected = count * dtype.itemsize
    if not layout.compressed:
        (size,) = np.frombuffer(stream.take(layout.header.itemsize), layout.header)
        if size != expected:
            raise ValueError(f"block of {size} bytes, the extent says {expected}")
        return np.frombuffer(stream.take(expected), dtype)
    (blocks,) = np.frombuffer(stream.take(layout.header.itemsize), layout.header).tolist()
    if blocks * layout.header.itemsize > len(data):
        raise ValueError(f"{blocks} compressed blocks in {len(data)} bytes")
    sizes = np.frombuffer(stream.take((2 + blocks) * layout.header.itemsize), layout.header)[2:]
    stream.next_piece()
    unpacked = b""
    for size in sizes.tolist():
        # never more than what the extent promises, whatever the stream would unpack to
        unpacked += zlib.decompressobj().decompress(stream.take(size), expected - len(unpacked) + 1)
    return np.frombuffer(unpacked, dtype) if len(unpacked) == expected else np.empty(0, dtype)


class _Stream:
    """Bytes, or base64 text in which the header may be a padded piece of its own."""

    def __init__(self, data: bytes, in_base64: bool) -> None:
        self._data = data
        self._in_base64 = in_base64
        self._position = 0
        self._decoded = b""

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if not self._in_base64:
            part = self._data[self._position : self._position + size]
            self._position += size
        else:
            self._fill(size)
            part, self._decoded = self._decoded[:size], self._decoded[size:]
        if len(part) != size:
            raise ValueError(f"the data end {size - len(part)} bytes early")
        return part

    def next_piece(self) -> None:
        """Drop what is left of the padded piece in hand: the next bytes begin a new one."""
        self._decoded = b""

    def _fill(self, size: int) -> None:
        while len(self._decoded) < size and self._position < len(self._data):
            missing = size - len(self._decoded)
            end = self._position + 4 * -(-missing // 3)
            padding = self._data.find(b"=", self._position, end)
            if padding >= 0:
                end = padding + 4 - (padding - self._position) % 4
            self._decoded += base64.b64decode(self._data[self._position : end], validate=True)
            self._position = end
