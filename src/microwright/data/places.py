"""Where a labelled set lies: a folder of this machine, or a prefix of an object store.

A local set appears whole under its name or not at all, and the lock of a run on it dies with its process. An object
store has neither renaming nor such locks: there the group's own record is written last, so that what lacks it is no
set, and a run holds a lease, an object that it renews every few seconds and that others may take once it has lapsed.
Should two runs hold one lease all the same, because one of them slept through it, they write the same values: a chunk
depends on the source and the solver alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from microwright.errors import InputError
from microwright.structures.files.output import check_output, disk_errors, fresh_output, remove_output

#: seconds after which a lease that is not renewed lapses
LEASE = 60.0

_LOCK = ".lock"


class Place(ABC):
    """The place of one set."""

    #: what messages call it, and what opens it again on any worker
    path: Path | str

    @abstractmethod
    def exists(self) -> bool:
        """Whether a Zarr group, or for a folder anything, is there."""

    @abstractmethod
    def check_free(self) -> None:
        """Refuse a place that holds something.

        Raises:
            InputError: it does.
        """

    @abstractmethod
    def create(self, write: Callable[[str], None]) -> None:
        """Make the set by ``write``, which gets what Zarr opens and writes the group's own record last."""

    @abstractmethod
    def write_text(self, name: str, text: str) -> None:
        """A small file beside the arrays."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the set, if one is there.

        Raises:
            InputError: a run holds it.
        """

    @abstractmethod
    def errors(self) -> AbstractContextManager[None]:
        """Whatever keeps the place from being written or read, as one line."""

    @abstractmethod
    def locked(self) -> AbstractContextManager[None]:
        """Hold the place for one run.

        Raises:
            InputError: another run holds it.
        """


def place_of(path: str | Path) -> Place:
    """The place that a path or a URL (``s3://bucket/set.zarr``) names.

    Raises:
        InputError: a URL of an unknown kind, or one that needs a package that is not there.
    """
    return RemotePlace(str(path)) if is_url(path) else LocalPlace(Path(path))


def is_url(path: str | Path) -> bool:
    """Whether this names an object store."""
    return "://" in str(path)


class LocalPlace(Place):
    """A folder."""

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def exists(self) -> bool:
        return self.path.exists()

    def check_free(self) -> None:
        check_output(self.path, replace=False)

    def create(self, write: Callable[[str], None]) -> None:
        with fresh_output(self.path, replace=False) as draft:
            write(str(draft))

    def write_text(self, name: str, text: str) -> None:
        file = self.path / name
        with disk_errors(self.path):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def remove(self) -> None:
        if (self.path / _LOCK).exists():
            with self.locked():  # refused while a run writes to it
                remove_output(self.path)
        else:
            remove_output(self.path)

    def errors(self) -> AbstractContextManager[None]:
        return disk_errors(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with (self.path / _LOCK).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise _held(self.path, file.read()) from error
            file.truncate(0)
            file.write(_owner())
            file.flush()
            yield


class RemotePlace(Place):
    """A prefix of an object store, by fsspec; keys and endpoints come from its own settings and the environment."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.path: str = url.rstrip("/")
        try:
            self._files, self._root = fsspec.url_to_fs(self.path)
        except ImportError as error:
            raise InputError(
                f"{url}: needs another package ({error}); for s3 run `pip install 'microwright[s3]'`"
            ) from error
        except ValueError as error:
            raise InputError(f"{url}: {error}; give a folder, or a URL as in s3://bucket/set.zarr") from error

    def exists(self) -> bool:
        with self.errors():
            return bool(self._files.exists(f"{self._root}/zarr.json"))

    def check_free(self) -> None:
        if self.exists():
            raise InputError(f"{self.path}: exists already; give another --out, or --force to replace it")

    def create(self, write: Callable[[str], None]) -> None:
        self.check_free()
        with self.errors():
            write(self.path)

    def write_text(self, name: str, text: str) -> None:
        with self.errors():
            self._files.pipe_file(f"{self._root}/{name}", text.encode())

    def remove(self) -> None:
        if self.exists():
            with self.locked(), self.errors():
                self._files.rm(self._root, recursive=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        lease = _Lease(self._files, f"{self._root}/{_LOCK}", self.path)
        lease.take()
        try:
            yield
        finally:
            lease.release()

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            self._files.invalidate_cache()
            yield
        except InputError:
            raise
        except Exception as error:
            first = (str(error).splitlines() or [""])[0][:200]
            raise InputError(
                f"{self.path}: the object store does not answer ({type(error).__name__}: {first}); "
                "check the address, the bucket and the credentials"
            ) from error


class _Lease:
    """An object that says who works here, and until when that is to be believed."""

    def __init__(self, files: Any, key: str, path: str) -> None:
        self._files, self._key, self._path = files, key, path
        self._token = uuid.uuid4().hex
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def take(self) -> None:
        held = self._read()
        if held is not None and time.time() - held["time"] < LEASE:
            raise _held(self._path, held["owner"])
        try:
            # where nobody holds it, creating must fail for all but one; a lapsed one is overwritten
            self._write("overwrite" if held is not None else "create")
        except Exception as error:
            raise _held(self._path, (self._read() or {}).get("owner", "")) from error
        self._thread.start()

    def release(self) -> None:
        self._released.set()
        self._thread.join()
        if (self._read() or {}).get("token") == self._token:
            self._files.rm_file(self._key)

    def _renew(self) -> None:
        while not self._released.wait(LEASE / 4):
            if (self._read() or {}).get("token") == self._token:
                self._write("overwrite")

    def _write(self, mode: str) -> None:
        content = {"owner": _owner(), "token": self._token, "time": time.time()}
        self._files.pipe_file(self._key, json.dumps(content).encode(), mode=mode)

    def _read(self) -> dict[str, Any] | None:
        self._files.invalidate_cache()
        try:
            return json.loads(self._files.cat_file(self._key))
        except FileNotFoundError:
            return None


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _held(path: Path | str, owner: str) -> InputError:
    return InputError(f"{path}: being written by {owner.strip() or 'another run'}; wait for it, or stop it")
