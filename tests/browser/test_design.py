"""Design in a real browser."""

from __future__ import annotations

import os
import time

import pytest

pytestmark = pytest.mark.browser


def test_gallery_within_three_seconds_and_summary(visit):
    visitor = visit()
    visitor.ask(12, "absorption=0.65")
    start = time.perf_counter()
    visitor.page.locator("#start").click()
    visitor.page.locator("#gallery [data-index]").first.wait_for()
    waited = time.perf_counter() - start
    visitor.page.locator("#summary table").wait_for()
    assert waited < 3 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others may be at work here
    assert "12 of 12 designs meet" in visitor.status
    assert visitor.page.locator("#gallery [data-index]").count() == 12
    visitor.picture("studio-design")


def test_impossible_target_is_one_line(visit):
    visitor = visit()
    visitor.ask(2, "absorption=1.2")
    visitor.page.locator("#start").click()
    assert "impossible" in visitor.error
    assert "\n" not in visitor.error
