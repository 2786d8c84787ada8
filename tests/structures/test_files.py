"""Files: what is written comes back, in every format; what others write is understood; what is broken is named."""

from __future__ import annotations

import base64
import gzip
import os
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage.filters import threshold_otsu

from microwright.errors import InputError
from microwright.structures.files import WRITERS, StructureSet, named, read_structures, write_structures
from microwright.structures.files.images import natural_order
from microwright.structures.files.stl import surface, write_ascii_stl

BATCHES = [suffix for suffix in WRITERS if suffix in (".npy", ".h5", ".hdf5", ".zarr")]
PHASES = {"dtype": np.uint8, "elements": st.integers(0, 1)}
SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("suffix", BATCHES)
@SETTINGS
@given(structures=arrays.arrays(shape=arrays.array_shapes(min_dims=3, max_dims=4, max_side=5), **PHASES))
def test_batches_come_back(suffix, structures, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / f"set{suffix}"
    write_structures(path, named(structures))
    again = read_structures(path, dimensions=structures.ndim - 1)
    np.testing.assert_array_equal(again.structures, structures)
    assert len(set(again.names)) == len(structures)


@pytest.mark.parametrize("suffix", ["", ".tif"])
@SETTINGS
@given(structures=arrays.arrays(shape=arrays.array_shapes(min_dims=3, max_dims=3, max_side=6, min_side=2), **PHASES))
def test_images_come_back(suffix, structures, tmp_path_factory):
    structures[0].flat[:2] = (0, 1)  # white or black alone says nothing of the other phase
    path = tmp_path_factory.mktemp("files") / f"set{suffix}"
    write_structures(path, named(structures))
    np.testing.assert_array_equal(read_structures(path, dimensions=2).structures, structures)


@pytest.mark.parametrize("suffix", [".vti", ".tif", ".npy", ".h5"])
@SETTINGS
@given(volume=arrays.arrays(shape=arrays.array_shapes(min_dims=3, max_dims=3, max_side=6, min_side=2), **PHASES))
def test_volumes_come_back(suffix, volume, tmp_path_factory):
    volume.flat[:2] = (0, 1)
    path = tmp_path_factory.mktemp("files") / f"volume{suffix}"
    write_structures(path, named(volume[None]))
    np.testing.assert_array_equal(read_structures(path, dimensions=3).structures, volume[None])


def test_a_stack_is_a_volume_unless_images_are_needed(tmp_path):
    volume = drawn(4, 5, 6)
    write_structures(tmp_path / "stack.tif", named(volume[None]))
    assert read_structures(tmp_path / "stack.tif").structures.shape == (1, 4, 5, 6)
    assert read_structures(tmp_path / "stack.tif", dimensions=2).structures.shape == (4, 5, 6)
    np.save(tmp_path / "images.npy", volume)
    assert read_structures(tmp_path / "images.npy").structures.shape == (4, 5, 6)
    assert read_structures(tmp_path / "images.npy", dimensions=3).structures.shape == (1, 4, 5, 6)


def test_a_vti_volume_is_no_batch_of_images(tmp_path):
    write_structures(tmp_path / "a.vti", named(drawn(1, 4, 5, 6)))
    with pytest.raises(InputError, match="structures of 2 axes were expected"):
        read_structures(tmp_path / "a.vti", dimensions=2)


def test_vti_keeps_the_pixel_size(tmp_path):
    content = StructureSet(drawn(1, 3, 4, 5), ("a",), (0.1, 0.25, 2.0))
    write_structures(tmp_path / "a.vti", content)
    assert read_structures(tmp_path / "a.vti").spacing == (0.1, 0.25, 2.0)


def test_a_flat_vti_is_an_image(tmp_path):
    structures = drawn(1, 3, 4)
    write_structures(tmp_path / "a.vti", named(structures))
    np.testing.assert_array_equal(read_structures(tmp_path / "a.vti").structures, structures)


def vti(array: str, volume: np.ndarray, tail: str = "", attributes: str = "", data: str = "CellData") -> bytes:
    size = [n - (data == "PointData") for n in volume.shape]
    extent = f"0 {size[0]} 0 {size[1]} 0 {size[2]}"
    return (
        f'<?xml version="1.0"?><VTKFile type="ImageData" version="0.1" byte_order="LittleEndian" {attributes}>'
        f'<ImageData WholeExtent="{extent}" Origin="0 0 0" Spacing="1 1 1"><Piece Extent="{extent}"><{data}>'
        f"{array}</{data}></Piece></ImageData>{tail}</VTKFile>"
    ).encode()


def vtk_variants(volume: np.ndarray) -> dict[str, bytes]:
    """The encodings that VTK's writers use, by hand."""
    raw = np.ascontiguousarray(volume.transpose(2, 1, 0)).tobytes()
    size = np.array([len(raw)], "<u4").tobytes()
    half = len(raw) // 2
    blocks = [zlib.compress(raw[:half]), zlib.compress(raw[half:])]
    header = np.array([2, half, len(raw) - half, *map(len, blocks)], "<u4").tobytes()
    compressor = 'compressor="vtkZLibDataCompressor"'
    array = '<DataArray type="UInt8" Name="p" format="{}">{}</DataArray>'
    appended = '<DataArray type="UInt8" Name="p" format="appended" offset="0"/>'
    b64 = lambda data: base64.b64encode(data).decode()  # noqa: E731
    text = " ".join(map(str, np.frombuffer(raw, np.uint8)))
    placeholder = b"@@"
    tail = '<AppendedData encoding="{}">_@@</AppendedData>'
    return {
        "ascii": vti(array.format("ascii", text), volume),
        "points": vti(array.format("ascii", text), volume, data="PointData"),
        "binary": vti(array.format("binary", "\n  " + b64(size + raw) + "\n"), volume),
        "binary, header apart": vti(array.format("binary", b64(size) + b64(raw)), volume),
        "binary, zlib": vti(array.format("binary", b64(header) + b64(b"".join(blocks))), volume, attributes=compressor),
        "appended raw": vti(appended, volume, tail.format("raw")).replace(placeholder, size + raw),
        "appended base64": vti(appended, volume, tail.format("base64")).replace(placeholder, b64(size + raw).encode()),
        "appended raw, zlib": vti(appended, volume, tail.format("raw"), compressor).replace(
            placeholder, header + b"".join(blocks)
        ),
    }


@pytest.mark.parametrize("variant", vtk_variants(drawn(2, 2, 2)))
def test_vtk_encodings_are_understood(variant, tmp_path):
    volume = drawn(4, 5, 6)
    (tmp_path / "a.vti").write_bytes(vtk_variants(volume)[variant])
    np.testing.assert_array_equal(read_structures(tmp_path / "a.vti").structures[0], volume)


NRRD = "NRRD0004\n# a comment\ntype: {}\ndimension: 3\nsizes: 4 5 6\nencoding: {}\nendian: little\n{}\n"


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii"])
def test_nrrd_is_understood(encoding, tmp_path):
    volume = drawn(4, 5, 6)
    raw = np.asfortranarray(volume).astype("<i2").tobytes(order="F")
    data = {"raw": raw, "gzip": gzip.compress(raw), "ascii": " ".join(map(str, volume.T.ravel())).encode()}[encoding]
    header = NRRD.format("short", encoding, "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)\n")
    (tmp_path / "a.nrrd").write_bytes(header.encode() + data)
    content = read_structures(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(content.structures[0], volume)
    assert content.spacing == (0.5, 0.5, 2.0)


def test_a_detached_nrrd_stays_in_its_folder(tmp_path):
    volume = drawn(4, 5, 6)
    folder = tmp_path / "folder"
    folder.mkdir()
    for place in (folder / "a.raw", tmp_path / "secret.raw"):
        place.write_bytes(volume.tobytes(order="F"))
    (folder / "a.nhdr").write_text(NRRD.format("uchar", "raw", "data file: a.raw\n"))
    np.testing.assert_array_equal(read_structures(folder / "a.nhdr").structures[0], volume)
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    for name in ("../secret.raw", str(tmp_path / "secret.raw"), "link.raw"):
        (folder / "a.nhdr").write_text(NRRD.format("uchar", "raw", f"data file: {name}\n"))
        with pytest.raises(InputError, match="must lie beside it"):
            read_structures(folder / "a.nhdr")


def test_hdf5_finds_the_structures(tmp_path):
    structures = drawn(3, 8, 8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = np.arange(3.0)
        file["latents"] = np.zeros((3, 40, 40))
        file["deep/images"] = structures
        file["text"] = "words"
    with pytest.raises(InputError, match="no dataset 'z'; it has deep/images, latents, y"):
        read_structures(tmp_path / "a.h5", dataset="z")
    np.testing.assert_array_equal(read_structures(tmp_path / "a.h5", dataset="/deep/images").structures, structures)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["x"] = structures
    np.testing.assert_array_equal(read_structures(tmp_path / "a.h5").structures, structures)


def write_dream3d(path, volume, form: str = "simpl", phases: str = "Phases") -> None:
    """A pipeline's output: axes z, y, x, component; sizes and spacing in the order x, y, z."""
    cells = volume.transpose()[..., None]
    with h5py.File(path, "w") as file:
        group = file.create_group("DataContainers/ImageDataContainer" if form == "simpl" else "DataStructure/Image")
        data = group.create_group("CellData")
        data[phases] = (cells + 1).astype(np.int32)
        data["FeatureIds"] = np.arange(cells.size, dtype=np.int32).reshape(cells.shape)
        data["EulerAngles"] = np.zeros((*cells.shape[:-1], 3), np.float32)
        group["CellEnsembleData/CrystalStructures"] = np.zeros((3, 1), np.uint32)
        if form == "simpl":
            group["_SIMPL_GEOMETRY/DIMENSIONS"] = np.array(volume.shape, np.int64)
            group["_SIMPL_GEOMETRY/SPACING"] = np.array([0.5, 1.0, 2.0], np.float32)
        else:
            group.attrs["_DIMENSIONS"] = np.array(volume.shape, np.uint64)
            group.attrs["_SPACING"] = np.array([0.5, 1.0, 2.0], np.float32)


@pytest.mark.parametrize("form", ["simpl", "nx"])
def test_dream3d_is_understood(form, tmp_path):
    volume = drawn(4, 5, 6)
    write_dream3d(tmp_path / "a.dream3d", volume, form)
    content = read_structures(tmp_path / "a.dream3d")
    np.testing.assert_array_equal(content.structures, volume[None])
    assert content.spacing == (0.5, 1.0, 2.0)
    write_dream3d(tmp_path / "flat.dream3d", volume[:, :, :1], form)
    content = read_structures(tmp_path / "flat.dream3d")
    np.testing.assert_array_equal(content.structures, volume[None, :, :, 0])
    assert content.spacing == (0.5, 1.0)


def test_dream3d_arrays_are_named(tmp_path):
    volume = drawn(4, 5, 6)
    write_dream3d(tmp_path / "a.dream3d", volume, phases="Fibres")
    with pytest.raises(
        InputError, match="no cell array Phases or Mask; it has .*CellData/FeatureIds, .*CellData/Fibres"
    ):
        read_structures(tmp_path / "a.dream3d")
    np.testing.assert_array_equal(read_structures(tmp_path / "a.dream3d", dataset="Fibres").structures[0], volume)
    with pytest.raises(InputError, match="with one number a cell"):
        read_structures(tmp_path / "a.dream3d", dataset="EulerAngles")


def test_hdf5_reads_no_other_file(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = drawn(3, 8, 8)
    (tmp_path / "secret.raw").write_bytes(bytes(64))
    layout = h5py.VirtualLayout((3, 8, 8), "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (3, 8, 8))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("x", (8, 8), "u1", external=[(str(tmp_path / "secret.raw"), 0, 64)])
    for name in ("link", "virtual", "external"):
        with pytest.raises(InputError, match="no dataset|lies in other files"):
            read_structures(tmp_path / f"{name}.h5", dataset="x")


def test_npz_takes_the_named_array(tmp_path):
    first, second = drawn(3, 4, 5), drawn(2, 6, 7, seed=1)
    np.savez(tmp_path / "a.npz", first=first, structures=second, y=np.arange(3))
    np.testing.assert_array_equal(read_structures(tmp_path / "a.npz").structures, second)
    np.testing.assert_array_equal(read_structures(tmp_path / "a.npz", dataset="first").structures, first)


def test_folders_are_sorted_by_number(tmp_path):
    structures = drawn(12, 6, 6)
    for index, structure in enumerate(structures):
        Image.fromarray(structure * np.uint8(255)).save(tmp_path / f"image-{index}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    content = read_structures(tmp_path)
    assert content.names == tuple(f"image-{index}" for index in range(12))
    np.testing.assert_array_equal(content.structures, structures)
    assert natural_order(tmp_path / "a2b10.png") < natural_order(tmp_path / "a10b2.png")


def test_grey_and_colour_images_are_cut_by_otsu(tmp_path):
    draw = np.random.default_rng(0)
    grey = np.where(drawn(16, 16), draw.normal(180, 15, (16, 16)), draw.normal(70, 15, (16, 16))).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey, grey, grey, np.full_like(grey, 9)], -1)).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "deep.tif", grey.astype(np.uint16) * 100)
    expected = grey > threshold_otsu(grey)
    for name in ("grey.png", "colour.png", "deep.tif"):
        np.testing.assert_array_equal(read_structures(tmp_path / name).structures[0], expected)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (3, 7), (-1, 1)])
def test_two_values_are_two_phases(low, high, tmp_path):
    structures = drawn(3, 5, 5)
    np.save(tmp_path / "a.npy", np.where(structures, high, low))
    np.testing.assert_array_equal(read_structures(tmp_path / "a.npy").structures, structures)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 4, 4), np.nan), "NaN"),
        (np.full((2, 4, 4), 7), "one grey value only"),
        (np.stack([np.full((4, 4), 7.0), np.arange(16.0).reshape(4, 4)]), "a-0 has one grey value only"),
        (np.zeros((0, 4, 4)), "empty"),
        (np.zeros(4), "shape"),
        (np.zeros((2, 2, 2, 2, 2)), "shape"),
        (np.zeros((4, 4), complex), "complex"),
        (np.array([["a", "b"]]), "save numbers"),
        (np.array([[{}, {}]]), "save numbers"),
    ],
)
def test_arrays_that_are_no_structures_are_named(values, message, tmp_path):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=message) as caught:
        read_structures(tmp_path / "a.npy")
    assert str(tmp_path / "a.npy") in str(caught.value) and "\n" not in str(caught.value)


def whole_files(folder) -> dict[str, object]:
    """One valid file of each format."""
    volume = drawn(1, 6, 6, 6)
    for suffix in (".npy", ".h5", ".tif", ".vti", ".zarr"):
        write_structures(folder / f"a{suffix}", named(volume))
    write_structures(folder / "a.png", named(volume[0, :1]))
    np.savez_compressed(folder / "a.npz", structures=volume)
    raw = volume[0].tobytes(order="F")
    (folder / "a.nrrd").write_bytes(NRRD.format("uchar", "gzip", "").replace("4 5 6", "6 6 6").encode() + raw)
    header = NRRD.format("uchar", "gzip", "").replace("4 5 6", "6 6 6").encode()
    (folder / "a.nrrd").write_bytes(header + gzip.compress(raw))
    (folder / "b.vti").write_bytes(vtk_variants(volume[0])["appended raw, zlib"])
    write_dream3d(folder / "a.dream3d", volume[0])
    write_dream3d(folder / "b.dream3d", volume[0], "nx")
    return {path.name: path for path in folder.iterdir()}


def mutated(content: bytes, draw: np.random.Generator) -> bytes:
    """One of: flipped bytes, a cut, a repeat, an inserted run, a large number in the middle."""
    data = bytearray(content)
    where = int(draw.integers(0, len(data)))
    match int(draw.integers(0, 5)):
        case 0:
            for position in draw.integers(0, len(data), int(draw.integers(1, 8))):
                data[position] = int(draw.integers(0, 256))
        case 1:
            del data[where:]
        case 2:
            data[where:where] = data[where : where + int(draw.integers(1, 64))]
        case 3:
            data[where:where] = draw.bytes(int(draw.integers(1, 32)))
        case _:
            data[where : where + 8] = b"\xff" * 7 + b"\x7f"
    return bytes(data)


def fuzz(folder, rounds: int, seed: int) -> tuple[int, int]:
    """Mutate files of all formats; each reading gives a valid set or an InputError. Numbers of both."""
    draw = np.random.default_rng(seed)
    (folder / "whole").mkdir()
    (folder / "broken").mkdir()
    files = whole_files(folder / "whole")
    contents = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    metadata = (files["a.zarr"] / "structures" / "zarr.json").read_bytes()
    read = refused = 0
    for _ in range(rounds):
        name = str(draw.choice(list(files)))
        path = folder / "broken" / name
        if name == "a.zarr":
            path = files[name]
            (path / "structures" / "zarr.json").write_bytes(mutated(metadata, draw))
        else:
            path.write_bytes(mutated(contents[name], draw))
        try:
            structures = read_structures(path, max_bytes=2**22).structures
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert np.isin(structures, (0, 1)).all() and structures.nbytes <= 2**22
            read += 1
    return read, refused


def test_broken_files_end_in_one_line(tmp_path):
    read, refused = fuzz(tmp_path, 400, seed=0)
    assert refused > 100 and read > 20


@pytest.mark.slow
def test_ten_thousand_broken_files_end_in_one_line(tmp_path):
    read, refused = fuzz(tmp_path, 10_000, seed=1)
    assert read + refused == 10_000


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".png", ".tif", ".vti", ".nrrd", ".zarr"])
def test_empty_files_are_named(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=str(path)):
        read_structures(path)


def test_missing_and_unknown_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_structures(tmp_path / "nothing.npy")
    (tmp_path / "a.doc").write_bytes(b"x")
    with pytest.raises(InputError, match="unknown format '.doc'"):
        read_structures(tmp_path / "a.doc")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no PNG or TIFF"):
        read_structures(tmp_path / "empty")


def test_images_of_different_sizes_are_named(tmp_path):
    for name, size in (("a", 4), ("b", 5)):
        Image.fromarray(drawn(size, size) * np.uint8(255)).save(tmp_path / f"{name}.png")
    with pytest.raises(InputError, match=r"b.png: \(5, 5\) pixels where a.png has \(4, 4\)"):
        read_structures(tmp_path)


def test_large_files_are_refused_before_they_are_loaded(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**6, 10**6), "u1", chunks=(64, 64))
    zarr.create_group(str(tmp_path / "a.zarr")).create_array(
        "structures", shape=(10**6, 10**6), chunks=(64, 64), dtype="u1"
    )
    header = "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 1000000 1000000\nencoding: gzip\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + gzip.compress(bytes(100)))
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(tmp_path / "a.npy", "x.npy")
    for suffix in ("h5", "zarr", "nrrd", "npy", "npz"):
        with pytest.raises(InputError, match="the limit is"):
            read_structures(tmp_path / f"a.{suffix}")


def test_compressed_bombs_stop_at_the_declared_size(tmp_path):
    bomb = zlib.compress(bytes(10**8))
    header = np.array([1, 10**8, 0, len(bomb)], "<u4").tobytes()
    array = f'<DataArray type="UInt8" format="binary">{base64.b64encode(header).decode()}'
    array += f"{base64.b64encode(bomb).decode()}</DataArray>"
    (tmp_path / "a.vti").write_bytes(vti(array, drawn(4, 4, 4), attributes='compressor="vtkZLibDataCompressor"'))
    with pytest.raises(InputError, match="array of 0 values, the extent says 64"):
        read_structures(tmp_path / "a.vti")


def test_entities_are_not_expanded(tmp_path):
    (tmp_path / "secret").write_text("0 1 0 1 0 1 0 1")
    array = '<DataArray type="UInt8" Name="p" format="ascii">&secret;</DataArray>'
    content = vti(array, drawn(2, 2, 2)).decode()
    doctype = f'<!DOCTYPE VTKFile [<!ENTITY secret SYSTEM "file://{tmp_path}/secret">]><VTKFile'
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "a.vti").write_bytes(content.replace("<VTKFile", doctype).encode(encoding))
        with pytest.raises(InputError):
            read_structures(tmp_path / "a.vti")


def test_outputs_are_not_overwritten(tmp_path):
    first, second = named(drawn(3, 4, 4)), named(drawn(3, 4, 4, seed=1))
    for suffix in (".npy", ".h5", ".zarr", ""):
        path = tmp_path / f"set{suffix}"
        write_structures(path, first)
        with pytest.raises(InputError, match="exists already.*--force"):
            write_structures(path, second)
        np.testing.assert_array_equal(read_structures(path).structures, first.structures)
        write_structures(path, second, replace=True)
        np.testing.assert_array_equal(read_structures(path).structures, second.structures)


def test_folders_of_other_things_are_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other things"):
        write_structures(tmp_path, named(drawn(3, 4, 4)), replace=True)
    assert (tmp_path / "thesis.tex").exists()


def test_nothing_is_left_half_written(tmp_path, monkeypatch):
    def full_disk(*arguments, **options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(InputError, match="No space left"):
        write_structures(tmp_path / "images", named(drawn(3, 4, 4)))
    for suffix in (".png", ".vti", ".stl"):
        with pytest.raises(InputError):
            write_structures(tmp_path / f"a{suffix}", named(drawn(3, 4, 4)))
    assert not any(tmp_path.iterdir())


def test_an_stl_surface_is_closed_and_encloses_the_phase():
    grid = np.stack(np.meshgrid(*[np.arange(24) - 11.5] * 3, indexing="ij"))
    ball = ((grid**2).sum(0) < 9.0**2).astype(np.uint8)
    triangles = surface(ball, (0.5, 0.5, 0.5))
    volume = np.einsum("fi,fi->f", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6
    assert volume == pytest.approx(ball.sum() * 0.125, rel=0.03)
    assert triangles.reshape(-1, 3).mean(0) == pytest.approx([6, 6, 6], abs=0.01)
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    forward = {tuple(np.round(edge, 6).ravel()) for edge in edges}
    backward = {tuple(np.round(edge[::-1], 6).ravel()) for edge in edges}
    assert forward == backward


def test_stl_in_binary_and_in_text_agree(tmp_path):
    content = named(drawn(1, 5, 5, 5))
    write_structures(tmp_path / "a.stl", content)
    write_ascii_stl(tmp_path / "text.stl", content.structures, None)
    data = (tmp_path / "a.stl").read_bytes()
    count = int(np.frombuffer(data, "<u4", 1, 80)[0])
    assert len(data) == 84 + 50 * count
    lines = (tmp_path / "text.stl").read_text().splitlines()
    text = [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("vertex")]
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    binary = np.frombuffer(data, record, count, 84)["corners"].reshape(-1, 3)
    np.testing.assert_allclose(binary, text, rtol=1e-5, atol=1e-6)
