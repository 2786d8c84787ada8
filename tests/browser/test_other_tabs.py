"""Look closer, edit, bring and take away in a real browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import gdstk
import numpy as np
import pytest
import torch
from PIL import Image

from microwright.design.designs import read_designs
from microwright.physics.elasticity import ElasticSolver
from microwright.structures.files import read_structures
from microwright.structures.random_fields import filtered_noise

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser


def test_look_closer_at_a_film(visit):
    visitor = visit()
    visitor.design(3)
    visitor.page.locator("#gallery [data-index]").nth(1).click()
    for plot in ("#large img", "#statistics img"):
        visitor.page.locator(plot).wait_for()
    visitor.page.locator("#ask-tolerance").click()
    visitor.page.locator("#tolerance img").wait_for()
    visitor.fill("#points", "4")
    visitor.page.locator("#ask-spectrum").click()
    playwright.expect(visitor.page.locator("#look-status")).to_contain_text("4 of 4 wavelengths; MAPbI3, Ag")
    visitor.page.locator("#spectrum img").wait_for()
    visitor.page.locator("#ask-convergence").click()
    playwright.expect(visitor.page.locator("#look-status")).to_contain_text("289 solved")
    visitor.page.locator("#convergence img").wait_for()
    visitor.picture("studio-look")


def test_strokes_and_keys_change_the_value(visit):
    visitor = visit()
    visitor.design(1)
    visitor.open("Edit and ask")
    before = visitor.solved("absorption")
    canvas = visitor.page.locator("#editor canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    visitor.page.locator(".mw-brush").fill("6")
    changed, painted = visitor.page.locator("#changed"), "0"
    for start, end in ((0.2, 0.7), (0.7, 0.2)):
        visitor.page.mouse.move(box["x"] + start * box["width"], box["y"] + 0.3 * box["height"])
        visitor.page.mouse.down()
        visitor.page.mouse.move(box["x"] + end * box["width"], box["y"] + 0.6 * box["height"], steps=10)
        visitor.page.mouse.up()
        playwright.expect(changed).not_to_have_text(painted)
        painted = changed.inner_text()
    assert visitor.solved("absorption") != before
    visitor.picture("studio-edit")
    visitor.page.locator(".mw-brush").fill("1")
    canvas.press("ArrowLeft")
    canvas.press(" ")
    playwright.expect(changed).not_to_have_text(painted)
    visitor.page.locator("#undo").click()
    playwright.expect(changed).to_have_text(painted)
    visitor.page.locator("#erode").click()
    playwright.expect(changed).not_to_have_text(painted)


@pytest.fixture
def volume(tmp_path) -> Path:
    structure = filtered_noise((17, 17, 17), (1, 1, 3), 0.4, count=1, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "foam.npy", structure[0].numpy().astype(np.uint8))
    return tmp_path / "foam.npy"


def choose_property(visitor, name: str) -> None:
    field = visitor.page.locator("#properties input")
    field.press("Backspace")
    field.fill(name)
    field.press("Enter")
    field.press("Escape")


def test_a_volume_is_solved_turned_and_cut(visit, volume):
    visitor = visit()
    visitor.open("Bring")
    visitor.page.locator("#upload input[type=file]").set_input_files(volume)
    choose_property(visitor, "C11")
    visitor.page.locator("#compute").click()
    card = visitor.page.locator("#brought [data-index]")
    card.wait_for()
    content = read_structures(volume, dimensions=3)
    expected = float(ElasticSolver().solve(torch.as_tensor(content.structures).float()).values)
    assert f"C11 {expected:.4g}"[:8] in card.inner_text()
    visitor.picture("studio-bring")
    card.click()
    canvas = visitor.page.locator("#volume canvas")
    canvas.wait_for()
    visitor.page.wait_for_timeout(500)
    seen = [drawn(canvas)]
    assert len(colours(canvas)) > 2
    canvas.press("ArrowLeft")
    visitor.page.wait_for_timeout(300)
    seen.append(drawn(canvas))
    visitor.page.locator(".mw-cuts input").first.fill("40")
    visitor.page.wait_for_timeout(300)
    seen.append(drawn(canvas))
    assert len(set(seen)) == 3


def test_a_shipped_model_of_volumes_designs_and_shows_them(visit):
    visitor = visit()
    visitor.page.locator("#model input").click()
    visitor.page.get_by_role("option", name="vae-regression-c11").click()
    playwright.expect(visitor.page.locator("#target textarea")).to_have_value(re.compile("^C11="))
    visitor.page.get_by_text("the method's own samples").click()
    visitor.design(2, "C11=30")
    told = visitor.page.locator("#gallery [data-index]").first
    assert float(re.search(r"C11 (\S+)", told.inner_text())[1]) == pytest.approx(30, rel=0.5)
    told.click()
    canvas = visitor.page.locator("#volume canvas")
    canvas.wait_for()
    playwright.expect(visitor.page.locator("#facts")).to_contain_text("51 × 51 × 51 voxels")
    visitor.page.locator("#ask-modulus").click()
    visitor.page.locator("#modulus img").wait_for()
    assert len(colours(canvas)) > 2
    visitor.picture("studio-volume")


def drawn(canvas) -> str:
    return canvas.evaluate("canvas => canvas.toDataURL()")


def colours(canvas) -> set[int]:
    """Every colour of the picture, 0 where nothing was drawn."""
    data = "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer"
    return set(canvas.evaluate(f"canvas => [...new Set(new Uint32Array({data}))]"))


def test_corrupt_and_large_files_are_one_line(visit, tmp_path):
    visitor = visit()
    visitor.open("Bring")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing else")
    visitor.page.locator("#upload input[type=file]").set_input_files(tmp_path / "broken.png")
    visitor.page.locator("#upload").get_by_text("broken").wait_for()
    visitor.page.locator("#compute").click()
    assert visitor.error.startswith("broken.png: cannot be read as PNG")
    assert "\n" not in visitor.error


def test_two_gigabytes_are_refused_at_once(visit, tmp_path):
    visitor = visit()
    visitor.open("Bring")
    with (tmp_path / "large.npy").open("wb") as file:
        file.truncate(2 * 2**30)
    visitor.page.locator("#upload input[type=file]").set_input_files(tmp_path / "large.npy")
    assert visitor.error.startswith("large.npy: 2048 MB is more than the 1 MB that this page takes")
    assert "--max-upload 2048" in visitor.error and "\n" not in visitor.error


def test_images_in_the_list_are_solved(visit, tmp_path):
    visitor = visit()
    visitor.open("Bring")
    for name in ("one", "two"):
        noise = np.random.default_rng(len(name)).random((32, 32)) < 0.5
        Image.fromarray(noise.astype(np.uint8) * 255).save(tmp_path / f"{name}.png")
    visitor.page.locator("#upload input[type=file]").set_input_files([tmp_path / "one.png", tmp_path / "two.png"])
    visitor.page.locator("#upload").get_by_text("two").wait_for()
    visitor.page.locator("#compute").click()
    playwright.expect(visitor.page.locator("#bring-status")).to_contain_text("2 of 2 solved")
    assert visitor.page.locator("#brought [data-index]").count() == 2


def test_files_come_back_as_the_page_showed_them(visit, tmp_path):
    visitor = visit()
    visitor.design(2)
    told = visitor.page.locator("#gallery [data-index]").first
    index, text = int(told.get_attribute("data-index")), told.inner_text()
    visitor.open("Take away")
    visitor.page.locator("#formats").get_by_text("gds").click()
    playwright.expect(visitor.page.locator("#command textarea")).to_have_value(
        "microwright design --target absorption=0.65 --count 2 --seed 0 --export png,gds --out designs"
    )
    visitor.page.locator("#make").click()
    with visitor.page.expect_download() as download:
        visitor.page.locator("#files a[download='designs.zip']").first.click()
    download.value.save_as(tmp_path / "designs.zip")
    shutil.unpack_archive(tmp_path / "designs.zip", tmp_path / "designs")
    designs = read_designs(tmp_path / "designs" / "designs.h5")
    assert f"{designs.achieved[index, 0]:.5g}" in text
    name = f"design-{index:03d}"
    image = read_structures(tmp_path / "designs" / "png" / f"{name}.png").structures[0]
    assert np.array_equal(image, designs.structures[index])
    assert gdstk.read_gds(tmp_path / "designs" / "gds" / f"{name}.gds").cells
    assert not fetched((tmp_path / "designs" / "report.html").read_text())
    visitor.picture("studio-take")


def fetched(page: str) -> list[str]:
    """What a browser would get from elsewhere to show the page."""
    addresses = re.findall(r"""(?:\b(?:src|href)\s*=|url\(|@import)\s*["']?([^"')\s>]+)""", page)
    return [address for address in addresses if not address.startswith(("data:", "#"))]
