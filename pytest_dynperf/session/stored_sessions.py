"""The sessions in a directory of reports: which one is the newest, which are kept, and the removal of the others. Nothing but whole run
directories is ever removed.
"""

from __future__ import annotations

import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.baseline.location import ALL_DOCUMENTS
from pytest_dynperf.deployment.session_lock import is_alive
from pytest_dynperf.errors import RunDirectoryError, UsageError
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.unfinished import UNFINISHED

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

_NAME = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)-(?P<session>[0-9A-Za-z_.]+)")
_STAMP = "%Y%m%dT%H%M%SZ"
_HALF_REMOVED = ".removing-"
_DAY_S = 86400.0

RUNS, MAY_RUN, NAMED = "it still runs", "it may still run", "a baseline names it"
"""Why a session is kept whatever its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A session is kept when either says so: it is among the ``sessions`` newest, or it began at most ``days`` ago. ``None``: not asked."""

    sessions: int | None = None
    days: float | None = None

    @property
    def asked(self) -> bool:
        """Whether anything is to be removed at all."""
        return self.sessions is not None or self.days is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A run directory: ``stamp`` is when it began, ``size_bytes`` what its files take. ``outcome`` is ``None`` where its session.json
    cannot be read or names none; ``complete`` as it says. ``kept`` says why it must stay, or is ``None``.
    """

    directory: Path
    stamp: str
    session_id: str
    size_bytes: int
    outcome: str | None = None
    complete: bool = False
    kept: str | None = None

    def age_s(self, now: datetime) -> float:
        """Seconds since it began."""
        return (now - datetime.strptime(self.stamp, _STAMP).replace(tzinfo=UTC)).total_seconds()


class _Head(msgspec.Struct):
    """What is read of a session.json here; all else of it is skipped, not decoded."""

    outcome: str | None = None
    complete: bool = False
    baseline_directory: str = ""
    interrupted: str | None = None


def stored_sessions(
    reports: Path,
    retention: Retention,
    *,
    now: datetime,
    leases: Path,
    baselines: Collection[Path] = (),
    own: Path | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> tuple[StoredSession, ...]:
    """The sessions in ``reports``, newest first, each with the reason why it is kept. Other files and directories, and symbolic links, are
    none. ``told`` hears which is looked at; ``own`` is that of the caller, and kept.

    Kept whatever its age: one of which a process lives (``leases`` is where that shows), or that has not ended in order and was written to
    within a day, and one that a document of a store names. Stores are ``baselines`` and the ones that the sessions themselves used, where
    they are still there.

    :raises UsageError: when there is no such directory.
    """
    if not reports.is_dir():
        msg = f"{reports}: there is no such directory of reports. Give it with --reports DIR"
        raise UsageError(msg)
    found = sorted(_directories(reports), key=lambda one: one.name, reverse=True)
    heads: dict[Path, _Head] = {}
    for directory in found:
        told(directory.name)
        heads[directory] = _head(directory)
    used = {directory: head.baseline_directory for directory, head in heads.items() if head.baseline_directory}
    named = _named([*baselines, *(reports.joinpath(text) for text in dict.fromkeys(used.values()))])
    stored = [
        _stored(directory, heads[directory], place, retention, now=now, leases=leases, named=named) for place, directory in enumerate(found)
    ]
    return tuple(
        replace(one, kept=one.kept or "it is this one") if own is not None and one.directory.name == own.name else one for one in stored
    )


def newest_session(reports: Path) -> Path:
    """The run directory in ``reports`` whose session began last, whether it has ended or not.

    :raises UsageError: when there is none.
    """
    found = max(_directories(reports), key=lambda one: one.name, default=None) if reports.is_dir() else None
    if found is None:
        msg = f"{reports}: there is no session in it. Name one (its directory, or its session.json), or its place with --reports DIR"
        raise UsageError(msg)
    return found


def _directories(reports: Path) -> Iterator[Path]:
    for path in reports.iterdir():
        run = RunDirectory(path)
        if _is_session_name(path.name) and path.is_dir() and not path.is_symlink() and _begun(run):
            yield path


def _is_session_name(name: str) -> bool:
    match = _NAME.fullmatch(name)
    try:
        return match is not None and bool(datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC))
    except ValueError:
        return False


def _files(directory: Path) -> Iterator[os.stat_result]:
    """Of every file below; one that vanishes meanwhile is none."""
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode):
                yield found


def _begun(run: RunDirectory) -> bool:
    return run.session_json.is_file() or run.invocation_json.is_file()


def _head(directory: Path) -> _Head:
    try:
        return msgspec.json.decode(RunDirectory(directory).session_json.read_bytes(), type=_Head)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return _Head()


def _named(stores: Iterable[Path]) -> frozenset[str]:
    """``<stamp>-<session id>`` of every document of every store: a document is called as its session's directory is."""
    return frozenset(path.stem for store in stores if store.is_dir() for path in store.glob(ALL_DOCUMENTS))


def _stored(
    directory: Path, head: _Head, place: int, retention: Retention, *, now: datetime, leases: Path, named: Collection[str]
) -> StoredSession:
    match = _NAME.fullmatch(directory.name)
    assert match is not None
    stats = list(_files(directory))
    one = StoredSession(
        directory=directory,
        stamp=match["stamp"],
        session_id=match["session"],
        size_bytes=sum(one.st_size for one in stats),
        outcome=head.outcome,
        complete=head.complete,
    )
    if is_alive(one.session_id, leases):
        return replace(one, kept=RUNS)
    if head.interrupted == UNFINISHED and now.timestamp() - max((one.st_mtime for one in stats), default=0.0) < _DAY_S:
        return replace(one, kept=MAY_RUN)  # perhaps with a lease directory of its own
    if directory.name in named:
        return replace(one, kept=NAMED)
    if not retention.asked:
        return replace(one, kept="no retention is asked for")
    if retention.sessions is not None and place < retention.sessions:
        return replace(one, kept=f"among the {retention.sessions} newest")
    if retention.days is not None and one.age_s(now) <= retention.days * _DAY_S:
        return replace(one, kept=f"not older than {retention.days:g} days")
    return one


def remove(sessions: Iterable[StoredSession], reports: Path) -> Iterator[StoredSession]:
    """Remove each session that nothing keeps, and yield it when it is gone. What an earlier removal left half done goes first; a ``latest``
    that points nowhere afterwards goes last.

    A directory gets another name before it is emptied: whoever is killed meanwhile leaves no session that lacks half of its files.

    :raises RunDirectoryError: when one cannot be removed; those before it are gone.
    """
    for left in reports.glob(f"{_HALF_REMOVED}*"):
        _emptied(left)
    for session in sessions:
        if session.kept is None:
            aside = session.directory.with_name(f"{_HALF_REMOVED}{session.directory.name}")
            try:
                session.directory.rename(aside)
            except FileNotFoundError:
                continue  # another session has removed it meanwhile
            except OSError as error:
                raise _failed(session.directory, error) from error
            _emptied(aside)
            yield session
    latest = reports / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink()


def _emptied(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return  # by somebody else, just now
    except OSError as error:
        raise _failed(directory, error) from error


def _failed(directory: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"cannot remove {error.filename or directory}: {error.strerror or error}. It may belong to another user, or be in use"
    )
