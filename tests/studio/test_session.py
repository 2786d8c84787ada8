"""Visitors apart from one another."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from microwright.errors import InputError
from microwright.studio.session import Job, Sessions, Stopped


def visitor(key: str) -> SimpleNamespace:
    return SimpleNamespace(session_hash=key)


def test_sessions_are_apart_and_stay():
    sessions = Sessions()
    one, two = sessions.of(visitor("a")), sessions.of(visitor("b"))
    assert one is sessions.of(visitor("a")) and one is not two and one.folder != two.folder
    sessions.close_all()


def test_a_closed_session_leaves_no_file_and_no_job():
    sessions = Sessions()
    session = sessions.of(visitor("a"))
    job = session.start(60.0)
    (session.folder / "file").write_text("x")
    sessions.close(visitor("a"))
    assert not session.folder.exists()
    with pytest.raises(Stopped):
        job.check()
    assert sessions.of(visitor("a")) is not session
    sessions.close_all()


def test_a_new_job_ends_the_old_one():
    sessions = Sessions()
    session = sessions.of(visitor("a"))
    old, new = session.start(60.0), session.start(60.0)
    with pytest.raises(Stopped):
        old.check()
    new.check()
    sessions.close_all()


def test_a_job_ends_when_its_time_is_up():
    job = Job(1e-9)
    with pytest.raises(Stopped):
        job.check()
    assert job.late


def test_nothing_is_at_hand_at_first():
    sessions = Sessions()
    with pytest.raises(InputError, match="none chosen"):
        sessions.of(visitor("a")).at_hand()
    with pytest.raises(InputError, match="there is none"):
        sessions.of(visitor("a")).choose(0)
    sessions.close_all()
