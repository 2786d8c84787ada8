"""The server's own refusals, and that nothing of the page points elsewhere."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from microwright.cli.main import main
from microwright.errors import InputError
from microwright.studio.app import Studio, build
from microwright.studio.server import Limits, OnlyHere, check_port


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_port_in_use_is_one_line_with_the_remedy(taken, capsys):
    assert main(["studio", "--no-browser", "--port", str(taken)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"port: {taken} cannot be used" in line and "--port" in line


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(InputError, match="port"):
        check_port(port)


@pytest.mark.parametrize("limits", [{"upload_mb": 0}, {"job_seconds": 0.0}, {"job_seconds": float("nan")}])
def test_limits_that_allow_nothing_are_refused(limits):
    with pytest.raises(InputError):
        Limits(**limits)


def test_a_page_that_is_shown_is_let_go_when_the_server_stops():
    async def page(scope, receive, send):
        heard.append(await receive())

    async def silence():
        await asyncio.Event().wait()

    heard = []
    application = OnlyHere(page)
    application.stopping = lambda: True
    asyncio.run(asyncio.wait_for(application({"type": "http"}, silence, None), 10))
    assert heard == [{"type": "http.disconnect"}]


def test_a_model_of_another_version_is_one_line(tmp_path, capsys):
    (tmp_path / "card.json").write_text('{"format": 99}')
    assert main(["studio", "--no-browser", "--port", "7999", "--model", str(tmp_path)]) == 2
    assert "format 99" in capsys.readouterr().err


def test_the_theme_asks_for_no_font_from_outside():
    _, look = build(Studio(Limits()))
    assert not look["theme"]._stylesheets
    assert not re.search(r"url\(|@import|https?:", look["css"])
