"""One measurement at a time on a host: a kernel lock (``flock``), which is free the moment its holder dies, however it dies.

The lock is on ``host.lock`` in a directory of this user's own; the file says, for people, who holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError, LeaseHeld

if TYPE_CHECKING:
    from types import TracebackType

SAME_SESSION_WAIT_S = 3600.0
"""How long an xdist worker waits for another one of its own session."""
POLL_S = 0.1
_SETTLE_S = 1.0

DIRECTORY_VARIABLE = "DYNPERF_LEASE_DIRECTORY"
"""Environment variable: another directory for leases, for a test of the plugin itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease, in the holder's own words. ``started`` is UTC, ISO 8601."""

    session_id: str
    pid: int
    started: str
    what: str


class HostLease:
    """A held lease; a context manager that releases it. Its descriptor is closed on exec, so services cannot keep the lease alive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the lease back; may be called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            os.ftruncate(descriptor, 0)
            # Closing alone would not do: a child forked without exec shares the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def __enter__(self) -> HostLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()


def default_directory() -> Path:
    """Where this user's leases lie on this host: ``/tmp/dynperf-leases-<uid>``, or what ``DYNPERF_LEASE_DIRECTORY`` says.

    Not below ``TMPDIR``: two jobs with temporary directories of their own share the host all the same.
    """
    given = os.environ.get(DIRECTORY_VARIABLE)
    return Path(given) if given else Path(f"/tmp/dynperf-leases-{os.getuid()}")  # noqa: S108 - opened safely: 0700, own uid, no symbolic link


def acquire_host(
    session_id: str, *, directory: Path, wait_s: float = 0.0, describe: str, same_session_wait_s: float = SAME_SESSION_WAIT_S
) -> HostLease:
    """Take the host's lease; ``describe`` is what others will read about it.

    Held by the same session (another xdist worker of it): waits up to ``same_session_wait_s``. Held by another one: up to ``wait_s``.

    :raises LeaseHeld: when the wait is over, or when this very process holds it already.
    :raises DeploymentError: when the directory is not this user's own, or cannot be written.
    """
    descriptor = _open(directory)
    try:
        _wait_for_lock(descriptor, session_id, directory, wait_s=wait_s, same_session_wait_s=same_session_wait_s)
        _write(descriptor, Holder(session_id=session_id, pid=os.getpid(), started=_now(), what=describe))
    except BaseException:
        os.close(descriptor)
        raise
    return HostLease(descriptor)


def _open(directory: Path) -> int:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            msg = (
                f"{directory} is not a directory of this user (uid {os.getuid()}) but "
                f"{'a symbolic link' if stat.S_ISLNK(status.st_mode) else f'owned by uid {status.st_uid}'}: a lease there proves nothing. "
                f"Remove it, or set {DIRECTORY_VARIABLE} to a directory of your own."
            )
            raise DeploymentError(msg)
        directory.chmod(0o700)
        return os.open(directory / "host.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"cannot use {directory} for leases: {error.strerror or error}. Set {DIRECTORY_VARIABLE} to a directory that can be written."
        raise DeploymentError(msg) from error


def _wait_for_lock(descriptor: int, session_id: str, directory: Path, *, wait_s: float, same_session_wait_s: float) -> None:
    began = time.monotonic()
    while not _try_lock(descriptor):
        holder = _read(descriptor)
        waited = time.monotonic() - began
        if holder is None:
            # Nobody named: its holder is about to write or to end, or somebody only looks. That settles at once.
            patience = max(wait_s, _SETTLE_S)
        elif holder.session_id == session_id:
            patience = 0.0 if holder.pid == os.getpid() else same_session_wait_s
        else:
            patience = wait_s
        if waited >= patience:
            raise LeaseHeld(_text(holder, directory, waited))
        time.sleep(POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, holder: Holder) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(holder), sort_keys=True).encode(), 0)


def _read(descriptor: int) -> Holder | None:
    """What the file says, ``None`` when it says nothing sensible or names a process that is gone (its successor has not written yet)."""
    try:
        facts = json.loads(os.pread(descriptor, 65536, 0))
        holder = Holder(session_id=str(facts["session_id"]), pid=int(facts["pid"]), started=str(facts["started"]), what=str(facts["what"]))
        os.kill(holder.pid, 0)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return holder


def _text(holder: Holder | None, directory: Path, waited: float) -> str:
    who = "somebody who does not say" if holder is None else f"process {holder.pid} since {holder.started} ({holder.what})"
    after = f" after {waited:.0f} s of waiting" if waited >= 1 else ""
    return (
        f"this host is being measured by {who}{after}; two measurements at once would disturb each other. "
        f"Wait with --dynperf-lease-wait SECONDS, or end that process. The lock is {directory / 'host.lock'}."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
