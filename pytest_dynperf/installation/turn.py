"""One installer at a time: a kernel lock that processes of an installer hold as well, so that nobody removes what they write."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dynperf.installation.logged_process import Account

_POLL_S = 0.2
_SAY_S = 15.0


@contextlib.contextmanager
def turn(path: Path, account: Account, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock on ``path``; the value is its descriptor, to be handed to processes. Waits for another installer, and says so.

    :raises InstallationError: when another one holds it and ``wait`` is false, or when the directory cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        msg = f"cannot write {path.parent}: {error.strerror}. XDG_CACHE_HOME names another cache directory"
        raise InstallationError(msg) from error
    try:
        _take(descriptor, path, account, wait=wait)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, account: Account, *, wait: bool) -> None:
    said: float | None = None
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f"another installer (process {os.pread(descriptor, 20, 0).decode(errors='replace') or 'unknown'}) is at work"
            if not wait:
                msg = f"{who}, and holds {path}: wait until it has finished"
                raise InstallationError(msg) from None
            if said is None or time.monotonic() - said >= _SAY_S:
                said = time.monotonic()
                account.say(f"{who}; waiting for it")
            time.sleep(_POLL_S)
        else:
            return
