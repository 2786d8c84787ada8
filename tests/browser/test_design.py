"""Design in a real browser."""

from __future__ import annotations

import os
import re
import time

import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser


def test_gallery_within_three_seconds_then_summary_and_order(visit):
    visitor = visit()
    visitor.ask(12, "absorption=0.65")
    start = time.perf_counter()
    visitor.page.locator("#start").click()
    visitor.page.locator("#gallery [data-index]").first.wait_for()
    waited = time.perf_counter() - start
    visitor.page.locator("#summary table").wait_for()
    assert waited < 3 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others may be at work here
    assert "12 of 12 designs meet" in visitor.status
    cards = visitor.page.locator("#gallery [data-index]")
    assert cards.count() == 12
    visitor.picture("studio-design")
    visitor.page.locator("#sort input").click()
    visitor.page.get_by_role("option", name="number", exact=True).click()
    playwright.expect(cards.first).to_have_attribute("data-index", "0")
    assert [card.get_attribute("data-index") for card in cards.all()] == [str(i) for i in range(12)]


def test_impossible_target_is_one_line_and_the_page_goes_on(visit):
    visitor = visit()
    visitor.ask(2, "absorption=1.2")
    visitor.page.locator("#start").click()
    assert "impossible" in visitor.error
    assert "\n" not in visitor.error
    playwright.expect(visitor.page.locator("#start")).to_be_enabled()
    visitor.design(1)


def test_fields_write_the_target_and_the_histogram_follows(visit):
    visitor = visit()
    before = visitor.page.locator("#histogram img").get_attribute("src")
    visitor.page.locator(".goal input[type=number]").first.fill("0.55")
    playwright.expect(visitor.page.locator("#target textarea")).to_have_value("absorption=0.55")
    playwright.expect(visitor.page.locator("#histogram img")).not_to_have_attribute("src", before)


def test_cancel_keeps_what_was_solved(visit):
    visitor = visit()
    visitor.ask(60, "absorption=0.5")
    visitor.page.locator("#start").click()
    visitor.page.locator("#gallery [data-index]").first.wait_for()
    visitor.page.locator("#cancel").click()
    playwright.expect(visitor.page.locator("#status")).to_contain_text("cancelled")
    assert visitor.page.locator("#gallery [data-index]").count() > 0
    playwright.expect(visitor.page.locator("#start")).to_be_enabled()


def test_two_sessions_at_once_stay_apart(visit):
    one, two = visit(), visit()
    one.ask(3, "absorption=0.55")
    two.ask(3, "absorption=0.7")
    for visitor in (one, two):
        visitor.page.locator("#start").click()
    for visitor, wanted in ((one, 0.55), (two, 0.7)):
        visitor.page.locator("#summary table").wait_for()
        assert f"absorption={wanted:g}" in visitor.status
        told = visitor.page.locator("#gallery [data-index]").first.inner_text()
        assert float(re.search(r"absorption (\S+)", told)[1]) == pytest.approx(wanted, abs=2e-3)


def test_keyboard_alone_designs_and_looks_closer(visit):
    visitor = visit()
    page = visitor.page
    visitor.ask(2, "absorption=0.6")
    page.locator("#target textarea").focus()
    for _ in range(12):
        if page.evaluate("document.activeElement.id") == "start":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "start"
    page.keyboard.press("Enter")
    page.locator("#summary table").wait_for()
    for _ in range(30):
        if page.evaluate("document.activeElement.dataset.index !== undefined"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#large img").wait_for()
    assert "design" in page.locator("#facts").inner_text()


def test_a_narrow_window_shows_everything(visit):
    visitor = visit(400)
    visitor.design(4)
    assert visitor.overflow <= 0
    visitor.picture("studio-design-narrow")
    for tab in ("Look closer", "Edit and ask", "Bring", "Take away"):
        visitor.open(tab)
        visitor.page.wait_for_timeout(500)
        assert visitor.overflow <= 0, tab
        visitor.picture(f"studio-{tab.split()[0].lower()}-narrow")
