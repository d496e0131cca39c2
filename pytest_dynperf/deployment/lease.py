"""One measurement at a time on a host, or on a GPU: kernel locks (``flock``), which are free the moment their holder dies, however it dies.

The locks are on ``host.lock`` and ``gpu-<UUID>.lock`` in a directory of this user's own; each file says, for people, who holds it. Whoever
measures on the whole host takes its lock for itself. Whoever is content with GPUs shares it with others of that kind and takes their locks
for itself: all of them or none, so that nobody waits while holding something.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DeploymentError, LeaseHeld

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

SAME_SESSION_WAIT_S = 3600.0
"""How long an xdist worker waits for another one of its own session."""
POLL_S = 0.1
HOST = "host.lock"
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
        if descriptor is not None:
            _let_go(descriptor, orphaned=False)

    def __enter__(self) -> HostLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()


class GpuLease:
    """Leased GPUs; a context manager that releases them.

    The lock belongs to the open files behind :attr:`descriptors`: a process that inherits them (``pass_fds``) keeps the GPUs leased for as
    long as it lives, whoever started it.
    """

    def __init__(self, uuids: tuple[str, ...], descriptors: tuple[int, ...], *, shared: int | None) -> None:
        self._uuids, self._descriptors, self._shared = uuids, descriptors, shared

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs and MIG instances, in the order in which they were asked for."""
        return self._uuids

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Open files to hand to every process that uses the GPUs: one per GPU, the host's where it is shared. Empty after the release."""
        return self._descriptors if self._shared is None else (*self._descriptors, self._shared)

    def release(self, *, orphaned: bool = False) -> None:
        """Give the GPUs back; may be called again.

        ``orphaned``: a process that has the descriptors survived. Then they are only closed here, and the GPUs become free when it ends.
        """
        held, self._descriptors = self._descriptors, ()
        shared, self._shared = self._shared, None
        for descriptor in held:
            holder = _said(descriptor)
            if orphaned and holder is not None:
                _write(descriptor, replace(holder, what=f"{holder.what}; released, but a process that it started still lives"))
            _let_go(descriptor, orphaned=orphaned)
        if shared is not None:
            _let_go(shared, orphaned=orphaned, said=False)

    def __enter__(self) -> GpuLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()


def _let_go(descriptor: int, *, orphaned: bool, said: bool = True) -> None:
    """``said``: the file says who holds it, which is then no longer true."""
    try:
        if not orphaned:
            if said:
                os.ftruncate(descriptor, 0)
            # Closing alone would not do: a child that inherited the file shares the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


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


def acquire_gpus(
    session_id: str,
    uuids: Sequence[str],
    *,
    directory: Path,
    wait_s: float = 0.0,
    describe: str,
    share_host: bool = True,
    same_session_wait_s: float = SAME_SESSION_WAIT_S,
) -> GpuLease:
    """Lease the GPUs and MIG instances ``uuids``: all, or none while any of them is held.

    With ``share_host`` the host's lock is taken as well, shared with other leases of GPUs: nobody has the whole host meanwhile. Without,
    the caller has the host already. Waits as :func:`acquire_host` does.

    :raises LeaseHeld: naming the GPU and who holds it, when the wait is over or this very process holds it already.
    :raises DeploymentError: when the directory is not this user's own, or cannot be written.
    :raises ValueError: for no GPU, one that stands there twice, and what is no UUID.
    """
    names = {uuid: _lock_name(uuid) for uuid in uuids}
    if not names or len(names) < len(uuids):
        msg = f"a lease is for one GPU at least, and for each once: {list(uuids)}"
        raise ValueError(msg)
    began = time.monotonic()
    while True:
        taken = _take_all([names[uuid] for uuid in sorted(names)], directory, share_host=share_host)
        if not isinstance(taken, str):
            break
        waited = time.monotonic() - began
        holder = _holder(directory / taken)
        if waited >= _patience(holder, session_id, wait_s=wait_s, same_session_wait_s=same_session_wait_s):
            raise LeaseHeld(_text(holder, directory, waited, taken))
        time.sleep(POLL_S)
    files, shared = taken
    lease = GpuLease(tuple(uuids), files, shared=shared)
    try:
        me = Holder(session_id=session_id, pid=os.getpid(), started=_now(), what=describe)
        for descriptor in files:
            _write(descriptor, me)
    except BaseException:
        lease.release()
        raise
    return lease


def leased_gpus(uuids: Sequence[str], directory: Path) -> dict[str, str]:
    """Those of ``uuids`` that somebody holds now, with who it is, for choosing among the others. A look: what it says may change at once.

    :raises DeploymentError: as :func:`acquire_gpus`.
    """
    found: dict[str, str] = {}
    for uuid in uuids:
        name = _lock_name(uuid)
        descriptor = _open(directory, name)
        try:
            # Shared, so that two who look do not see each other as holders.
            if not _try_lock(descriptor, fcntl.LOCK_SH):
                found[uuid] = _who(_read(descriptor), directory / name)
        finally:
            os.close(descriptor)
    return found


def held_by_session(session_id: str, directory: Path) -> bool:
    """Whether another living process of this session says that it has the host or a GPU, so that waiting for it is worth while."""
    holders = (_holder(path) for path in sorted(directory.glob("*.lock")))
    return any(holder is not None and holder.session_id == session_id and holder.pid != os.getpid() for holder in holders)


def _lock_name(uuid: str) -> str:
    if not re.fullmatch(r"(GPU|MIG)-[A-Za-z0-9/-]+", uuid):
        msg = f"{uuid!r} is not the UUID of a GPU or a MIG instance"
        raise ValueError(msg)
    return f"gpu-{uuid.replace('/', '_')}.lock"


def _take_all(names: Sequence[str], directory: Path, *, share_host: bool) -> tuple[tuple[int, ...], int | None] | str:
    """The open files, or the name of the first lock that somebody has; then nothing is held. Sorted by the caller: of two who want the
    same, the one that gets the first gets on.
    """
    held: list[int] = []
    try:
        if share_host:
            held.append(_open(directory))
            if not _try_lock(held[0], fcntl.LOCK_SH):
                return HOST
            os.ftruncate(held[0], 0)  # what a killed holder left there names nobody who holds it now
        for name in names:
            held.append(_open(directory, name))
            if not _try_lock(held[-1]):
                return name
        taken, held = held, []
        return (tuple(taken[1:]), taken[0]) if share_host else (tuple(taken), None)
    finally:
        for descriptor in held:
            os.close(descriptor)


def _open(directory: Path, name: str = HOST) -> int:
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
        return os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"cannot use {directory} for leases: {error.strerror or error}. Set {DIRECTORY_VARIABLE} to a directory that can be written."
        raise DeploymentError(msg) from error


def _wait_for_lock(descriptor: int, session_id: str, directory: Path, *, wait_s: float, same_session_wait_s: float) -> None:
    began = time.monotonic()
    while not _try_lock(descriptor):
        holder = _read(descriptor) or _sharing(directory)
        waited = time.monotonic() - began
        if waited >= _patience(holder, session_id, wait_s=wait_s, same_session_wait_s=same_session_wait_s):
            raise LeaseHeld(_text(holder, directory, waited, HOST))
        time.sleep(POLL_S)


def _patience(holder: Holder | None, session_id: str, *, wait_s: float, same_session_wait_s: float) -> float:
    if holder is None:
        # Nobody named: its holder is about to write or to end, or somebody only looks. That settles at once.
        return max(wait_s, _SETTLE_S)
    if holder.session_id != session_id:
        return wait_s
    return 0.0 if holder.pid == os.getpid() else same_session_wait_s


def _sharing(directory: Path) -> Holder | None:
    """Somebody who leases GPUs and so shares the host, which its lock cannot say."""
    return next((holder for path in sorted(directory.glob("gpu-*.lock")) if (holder := _holder(path)) is not None), None)


def _holder(path: Path, read: Callable[[int], Holder | None] | None = None) -> Holder | None:
    """``read`` is what is to be made of the file; whose holder lives, without."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return (read or _read)(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, holder: Holder) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(holder), sort_keys=True).encode(), 0)


def _said(descriptor: int) -> Holder | None:
    """What the file says, ``None`` when that is nothing sensible."""
    try:
        facts = json.loads(os.pread(descriptor, 65536, 0))
        return Holder(session_id=str(facts["session_id"]), pid=int(facts["pid"]), started=str(facts["started"]), what=str(facts["what"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _read(descriptor: int) -> Holder | None:
    """As above, and ``None`` too when it names a process that is gone (a successor has yet to write, or what it left behind holds on)."""
    holder = _said(descriptor)
    try:
        if holder is not None:
            os.kill(holder.pid, 0)
    except (OSError, OverflowError):
        return None
    return holder


def _who(holder: Holder | None, path: Path) -> str:
    if holder is not None:
        return f"process {holder.pid} since {holder.started} ({holder.what})"
    gone, left = _holder(path, _said), _survivors(path)
    if gone is not None and left:
        return f"{left}, left over from process {gone.pid} ({gone.what}), which has ended"
    return f"somebody who does not say{f' ({left} has the file of the lock open)' if left else ''}"


def _survivors(path: Path) -> str:
    """Processes of this user that have the lock's file open, other than this one. A look through /proc, some ms."""
    found = []
    for pid in (entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal() and entry.name != str(os.getpid())):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if any(_same_file(file, path) for file in Path(f"/proc/{pid}/fd").iterdir()):
                found.append(f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})")
    return ", ".join(sorted(found))


def _same_file(file: Path, path: Path) -> bool:
    try:
        return file.samefile(path)
    except OSError:
        return False


def _text(holder: Holder | None, directory: Path, waited: float, name: str) -> str:
    path = directory / name
    who = _who(holder, path) + (f" after {waited:.0f} s of waiting" if waited >= 1 else "")
    device = name.removeprefix("gpu-").removesuffix(".lock")
    what = f"this host is being measured by {who}" if name == HOST else f"{device} is leased by {who}"
    return (
        f"{what}; two measurements at once would disturb each other. "
        f"Wait with --dynperf-lease-wait SECONDS, or end that process. The lock is {path}."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
