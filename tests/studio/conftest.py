"""What the tests of the page share."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from microwright.studio.ask import Ask
from microwright.studio.session import Job


@pytest.fixture
def ask() -> Ask:
    """Two designs of the shipped model."""
    return Ask("gan-mdn-data-2", "absorption=0.65", count=2, seed=3)


@pytest.fixture
def job() -> Job:
    """A job with time enough."""
    return Job(600.0)
