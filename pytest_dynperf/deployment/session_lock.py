"""Which sessions of this user on this host are alive: each process of a session shares a kernel lock on ``session-<id>.lock``, free
when the last of them is gone, however it went. Process ids prove nothing: they are given again.

The file says what the session has made, so that whoever finds it dead can remove that. A session that ends in order removes its file; so a
file that nobody locks is that of a dead session, and a session without a file is none of ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.run_directory import own_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEPT_S = 30.0
"""How long a session that goes on waits for whoever is sweeping up after its first part."""
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a session has made: its directory for temporary files and its run directory. ``boot`` is the kernel's id of when it ran."""

    session_id: str
    boot: str
    temporary: Path
    run_directory: Path


class SessionLock:
    """A share in a session's lock; a child gets no share unless it is forked without exec."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    def release(self) -> bool:
        """Give the share back; the last one removes the file. May be called again. Whether this was the last one."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return False
        try:
            last = _locked(descriptor, fcntl.LOCK_EX)
            if last:
                self._path.unlink(missing_ok=True)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would not do where a child was forked
        finally:
            os.close(descriptor)
        return last


def boot_id() -> str:
    """The kernel's id of this boot; empty where there is none (not Linux)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def hold_session(trace: Trace, directory: Path) -> SessionLock:
    """Share in the lock of ``trace.session_id`` in the lease directory. Under a millisecond, unless a dead part is being swept up.

    :raises RunDirectoryError: when the directory is not this user's own.
    :raises DeploymentError: when it cannot be written.
    """
    path = own_directory(directory) / f"session-{trace.session_id}.lock"
    deadline = time.monotonic() + SWEPT_S
    try:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if _locked(descriptor, fcntl.LOCK_SH) and _still_there(descriptor, path):
                break
            os.close(descriptor)
            if time.monotonic() > deadline:
                msg = f"{path} is locked by somebody who does not share it: another session is sweeping up, and has been for {SWEPT_S:g} s"
                raise DeploymentError(msg)
            time.sleep(_POLL_S)
        if not os.fstat(descriptor).st_size:
            os.pwrite(descriptor, _encode(trace), 0)
    except OSError as error:
        msg = f"cannot use {path}: {error.strerror or error}. Set DYNPERF_LEASE_DIRECTORY to a directory that can be written."
        raise DeploymentError(msg) from error
    return SessionLock(path, descriptor)


def is_alive(session_id: str, directory: Path) -> bool:
    """Whether a process of the session lives, as far as the lease directory knows."""
    try:
        descriptor = os.open(directory / f"session-{session_id}.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def dead_sessions(directory: Path) -> Iterator[tuple[Trace, ...]]:
    """The sessions of ``directory`` of which no process lives. Inside, nobody else sweeps up after them and none of them can go on; when it
    is left in order, their files are gone.
    """
    with contextlib.ExitStack() as held:
        found: dict[Path, Trace] = {}
        for path in sorted(directory.glob("session-*.lock")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            held.callback(os.close, descriptor)
            if _locked(descriptor, fcntl.LOCK_EX) and _still_there(descriptor, path):
                found[path] = _decode(os.pread(descriptor, 65536, 0), path)
        yield tuple(found.values())
        for path in found:
            path.unlink(missing_ok=True)


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(descriptor: int, path: Path) -> bool:
    """Whether the file that was locked is still the one of that name: whoever held it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _encode(trace: Trace) -> bytes:
    facts = {"boot": trace.boot, "temporary": str(trace.temporary), "run_directory": str(trace.run_directory)}
    return json.dumps(facts, sort_keys=True).encode()


def _decode(content: bytes, path: Path) -> Trace:
    """What the file says; of one that was cut off, the name alone."""
    try:
        facts = json.loads(content)
        boot, temporary, run_directory = (str(facts[name]) for name in ("boot", "temporary", "run_directory"))
    except (ValueError, TypeError, KeyError):
        boot = temporary = run_directory = ""
    session_id = path.name.removeprefix("session-").removesuffix(".lock")
    return Trace(session_id=session_id, boot=boot, temporary=Path(temporary), run_directory=Path(run_directory))
