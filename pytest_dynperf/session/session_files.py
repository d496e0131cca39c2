"""Sessions found on disk and read: a run directory, a ``session.json``, or a directory of several."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.json_file import decode_session
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.collector import collector_paused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pytest_dynperf.report.session_report import SessionReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFile:
    """``file`` is the ``session.json`` that ``report`` was read from."""

    file: Path
    report: SessionReport


def read_sessions(paths: Iterable[Path], *, told: Callable[[str], None] = lambda _: None) -> tuple[SessionFile, ...]:
    """The sessions at ``paths`` from the oldest to the newest, each once, however many of the paths lead to it. ``told`` hears which is
    read.

    :raises UsageError: when a path holds no session, or one of them cannot be read.
    """
    files = {file.resolve(): file for path in paths for file in session_files(path)}
    found = []
    for number, file in enumerate(files.values(), start=1):
        told(f"{file} ({number} of {len(files)})")
        found.append(SessionFile(file=file, report=read_session(file)))
    return tuple(sorted(found, key=lambda one: (one.report.stamp, one.report.session_id)))


def one_session(path: Path) -> SessionReport:
    """The session in a run directory, or in the ``session.json`` that ``path`` names.

    :raises UsageError: as :func:`read_session`.
    """
    return read_session(RunDirectory(path).session_json if path.is_dir() else path)


def session_files(path: Path) -> tuple[Path, ...]:
    """The ``session.json`` of a run directory, the file itself, or every one below a directory, sorted. Links are not followed below it.

    :raises UsageError: when there is none.
    """
    if path.is_file():
        return (path,)
    if not path.is_dir():
        msg = f"{path}: there is no such file or directory. Give a run directory such as reports/latest, or a session.json"
        raise UsageError(msg)
    own = RunDirectory(path).session_json
    if own.is_file():
        return (own,)
    found = tuple(sorted(path.glob(f"**/{own.name}")))
    if not found:
        msg = f"{path}: no {own.name} in it or below it. Give a run directory such as reports/latest, or a directory of several"
        raise UsageError(msg)
    return found


def read_session(file: Path) -> SessionReport:
    """The session that ``file`` holds. Costs about 1 ms per case.

    :raises UsageError: when it cannot be read, is cut off, is no session, or has a newer schema; names file and key.
    """
    with collector_paused():
        return _read(file)


def _parsed(text: str) -> tuple[object, bool]:
    """What ``json.loads`` gives, four times faster where the text is as it was written; then every number is finite, and ``True``."""
    try:
        return msgspec.json.decode(text), True
    except (msgspec.MsgspecError, ValueError, RecursionError):  # also of what json takes: infinity, half surrogates
        return json.loads(text), False


def _not_finite(value: object, where: str = "") -> str | None:
    """Where the first NaN or infinity stands, with its case; ``None`` where there is none."""
    if isinstance(value, float | int):
        return None if -sys.float_info.max <= value <= sys.float_info.max else f"key {where.removeprefix('.')!r}: {str(value)[:20]}"
    if isinstance(value, dict):
        case = value.get("case_id")
        found = next((place for key, entry in value.items() if (place := _not_finite(entry, f"{where}.{key}")) is not None), None)
        return f"case {case!r}, {found}" if found is not None and isinstance(case, str) else found
    if isinstance(value, list):
        places = (_not_finite(entry, f"{where}[{index}]") for index, entry in enumerate(value))
        return next((place for place in places if place is not None), None)
    return None


def _read(file: Path) -> SessionReport:
    try:
        encoded, finite = _parsed(file.read_bytes().decode("utf-8"))
    except OSError as error:
        msg = f"{file}: cannot be read: {error.strerror or error}. Give the directory of a finished session, such as reports/latest"
        raise UsageError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file}: is not UTF-8 text (byte {error.start}). Give a session.json, or its run directory"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"{file}: is not JSON, or was cut off: {error}. Fetch it again from where it was written"
        raise UsageError(msg) from error
    except RecursionError as error:
        msg = f"{file}: is nested too deeply for a session. Give a session.json, or its run directory"
        raise UsageError(msg) from error
    if not isinstance(encoded, dict) or not {"schema", "session_id", "cases"} <= encoded.keys():
        msg = f"{file}: is JSON, but not a session: it lacks schema, session_id or cases. Give a session.json, or its run directory"
        raise UsageError(msg)
    if not finite and (place := _not_finite(encoded)) is not None:
        msg = f"{file}: {place} is not a finite number, and nothing that was measured is: fetch the file again from where it was written"
        raise UsageError(msg)
    try:
        return decode_session(encoded)
    except UsageError as error:
        msg = f"{file}: {error}"
        raise UsageError(msg) from error
