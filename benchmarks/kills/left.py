"""What a session has left, in words: nothing is what should be there.

The campaign makes itself the parent of every orphan (``PR_SET_CHILD_SUBREAPER``), so no process escapes by a session, a group or an
environment of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.kills.session import CASES
from pytest_dynperf.deployment.sweep import LABELS, marked_processes
from pytest_dynperf.deployment.sweep_engine import local_engine

if TYPE_CHECKING:
    from benchmarks.kills.session import Session

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of what our descendants leave behind.

    :raises OSError: when the kernel refuses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def left_behind(session: Session) -> list[str]:
    """Processes, containers, networks, held locks, temporary files and state; empty when all is gone. 10 ms, more with an engine."""
    return [*_processes(session), *_locks(session), *_files(session), *_in_engine(session)]


def flaws(session: Session) -> list[str]:
    """What is wrong with ``session.json``; empty when it is right."""
    try:
        report = session.report()
    except (ValueError, OSError) as error:
        return [f"session.json cannot be read: {error}"]
    if report is None:
        begun = session.run is not None and (session.run / "records").exists()
        return ["session.json is missing, although something was measured"] if begun else []
    names = {case["case_id"] for case in report["cases"]}
    found = []
    if report["complete"] and (len(names) != CASES or report["missing"] or report["interrupted"]):
        found.append(f"session.json says complete with {len(names)} of {CASES} cases")
    if not report["complete"] and session.process.returncode == 0:
        found.append("pytest exited with 0, and the session is incomplete")
    if not report["complete"] and any((session.root / "baselines").rglob("*.json")):
        found.append("an incomplete session became a baseline")
    return found


def end_leftovers() -> None:
    """SIGKILL to what is left of a session that is known to leak, so that the next one begins clean."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()
    _reap()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _processes(session: Session) -> list[str]:
    _reap()
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process {process.pid}: {' '.join(process.cmdline())[:100]}")
    if session.session_id:
        known = {text.partition(":")[0] for text in found}
        marked = [pid for pid, owner in marked_processes().items() if owner == session.session_id]
        found += [f"process {pid} with our mark" for pid in marked if f"process {pid}" not in known]
    return found


def _locks(session: Session) -> list[str]:
    found = []
    for path in sorted(session.leases.glob("*.lock")):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found.append(f"lock {path.name} is held: {_said(path)}")
        finally:
            os.close(descriptor)
    return found


def _said(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads(path.read_text()))[:200]
    return "by somebody who does not say"


def _files(session: Session) -> list[str]:
    places = [*(session.root / "tmp").glob("*dynperf*")]
    if session.session_id:
        places += Path("/tmp").glob(f"*{session.session_id}*")
    if session.run is not None:
        places += [*session.run.glob("deployments/*/state"), *session.run.glob(".session.json.*")]
    return [f"file {path}" for path in places]


def _in_engine(session: Session) -> list[str]:
    if not session.session_id:
        return []
    engine = local_engine()
    if engine is None:
        return []
    try:
        ours = {"container": engine.containers(), "network": engine.networks()}
    finally:
        engine.close()
    return [
        f"{kind} {name[:12]} of this session"
        for kind, found in ours.items()
        for name, labels in found.items()
        if labels.get(LABELS[0]) == session.session_id
    ]
