"""Going on with a session that was cut short: which one, whether it is still the same question, and what it has found out already.

Everything that decides what is measured, and on what, is written when a session begins (``invocation.json``) and must be the same when it
goes on: results of both parts stand in one report.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.deployment.embedded import installed_versions
from pytest_dynperf.deployment.inspection import commit_facts, host_facts
from pytest_dynperf.deployment.lease import default_directory
from pytest_dynperf.deployment.session_lock import is_alive
from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.plain import take, take_all, take_map
from pytest_dynperf.run_directory import RunDirectory, write_atomically
from pytest_dynperf.session.redaction import without_secrets
from pytest_dynperf.session.session_files import read_session
from pytest_dynperf.session.work_tree import uncommitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.plan import Settings

SCHEMA = 1
LATEST = "latest"
_NAME = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)-(?P<session>[0-9A-Za-z_.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What a session was asked. ``selection`` is what pytest was to collect (paths, ``-k``, ``-m``), ``facts`` what must not change while
    the session goes on, by names for people. ``resumed`` are the UTC stamps at which it went on.
    """

    session_id: str
    stamp: str
    seed: int
    command: str
    selection: Mapping[str, str]
    facts: Mapping[str, str]
    resumed: tuple[str, ...] = ()


def facts_of(settings: Settings, platform: str, versions: Mapping[str, str]) -> dict[str, str]:
    """What must be the same in every part of a session, without secrets. 0.3 s: packages and the commit are asked for.

    ``versions`` are those of the programs that the caller knows.
    """
    commit = commit_facts(settings.rootdir)
    facts = {
        "commit": commit.get("git.commit", ""),
        "uncommitted changes": _digest(settings) if commit.get("git.dirty") == "yes" else "",
        "platform": platform,
        "--gpu": settings.gpu,
        "--dynperf-set": "; ".join(settings.overrides),
        "--dynperf-endpoint": settings.endpoint_url or "",
        "--dynperf-model": settings.model or "",
        "--dynperf-environment": settings.environment_name or "",
        "--dynperf-tokenizer": str(settings.tokenizer or ""),
        "--dynperf-header": "; ".join(name for name, _ in settings.headers),
        "--dynperf-control": "; ".join(settings.control),
        "--dynperf-control-layout": settings.control_layout,
        "--dynperf-baselines": str(settings.baselines),
        **{name: text for name, text in host_facts().items() if name != "hostname"},
        **versions,
        **({} if settings.attached else installed_versions()),
    }
    return without_secrets({name: text for name, text in facts.items() if text}, settings)


def write_invocation(invocation: Invocation, run: RunDirectory) -> None:
    """Keep what the session was asked.

    :raises RunDirectoryError: when it cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "session_id": invocation.session_id,
        "stamp": invocation.stamp,
        "seed": invocation.seed,
        "command": invocation.command,
        "selection": dict(invocation.selection),
        "facts": dict(invocation.facts),
        "resumed": list(invocation.resumed),
    }
    write_atomically(run.invocation_json, json.dumps(content, indent=2, ensure_ascii=False) + "\n", durable=False)


def read_invocation(run: RunDirectory) -> Invocation:
    """What the session in ``run`` was asked.

    :raises UsageError: when that is not there, or cannot be read.
    """
    path = run.invocation_json
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        msg = f"{run.root}: there is no {path.name}, so nobody knows what the session was asked: measure anew"
        raise UsageError(msg) from None
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{path}: cannot be read: {error}. Measure anew"
        raise UsageError(msg) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        msg = f"{path}: is not of schema {SCHEMA}: go on with the version of pytest-dynperf that began the session"
        raise UsageError(msg)
    try:
        return Invocation(
            session_id=take(content, "session_id", str),
            stamp=take(content, "stamp", str),
            seed=take(content, "seed", int),
            command=take(content, "command", str),
            selection=take_map(content, "selection", str),
            facts=take_map(content, "facts", str),
            resumed=take_all(content, "resumed", str),
        )
    except UsageError as error:
        msg = f"{path}: {error}"
        raise UsageError(msg) from error


# ---- which session


def find_resumable(reports: Path, asked: str, selection: Mapping[str, str]) -> Invocation:
    """The session that ``--dynperf-resume`` asks for: an id, a directory below ``reports``, or ``latest``, the latest incomplete one of the
    same ``selection``.

    :raises UsageError: when there is none, it is complete, it still runs, or nobody knows what it was asked.
    """
    run = _latest(reports, selection) if asked == LATEST else _named(reports, asked)
    invocation = read_invocation(run)
    if is_alive(invocation.session_id, default_directory()):
        msg = f"--dynperf-resume: {run.root.name} still runs; it can go on when it has ended"
        raise UsageError(msg)
    if read_session(run.session_json).complete:
        msg = f"--dynperf-resume: {run.root.name} is complete, nothing is missing in it"
        raise UsageError(msg)
    return invocation


def _named(reports: Path, asked: str) -> RunDirectory:
    below = {path.name: path for path in _run_directories(reports)}
    given = Path(asked).name
    found = [path for name, path in below.items() if given in (name, _id_in(name))]
    if len(found) == 1 and (Path(asked).parent == Path() or Path(asked).resolve() == found[0].resolve()):
        return RunDirectory(found[0])
    elsewhere = Path(asked).parent if Path(asked).is_dir() and _NAME.fullmatch(given) else None
    hint = f"it lies elsewhere: add --dynperf-reports={elsewhere}" if elsewhere else _hint(reports, asked)
    msg = f"--dynperf-resume={asked}: {reports} holds no such session; {hint}"
    raise UsageError(msg)


def _id_in(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    return None if match is None else match["session"]


def _hint(reports: Path, asked: str) -> str:
    if Path(asked).exists():
        return "if it is what pytest shall collect, write it before --dynperf-resume"
    known = [path.name for path in _run_directories(reports)][-3:]
    return f"the latest are {', '.join(known)}" if known else "it holds none at all"


def _latest(reports: Path, selection: Mapping[str, str]) -> RunDirectory:
    """The latest incomplete one that was asked for the same tests."""
    others = 0
    for path in reversed(_run_directories(reports)):
        run = RunDirectory(path)
        try:
            invocation = read_invocation(run)
            if read_session(run.session_json).complete:
                continue
        except UsageError:
            continue  # of another version, or cut off before it began
        if dict(invocation.selection) == dict(selection):
            return run
        others += 1
    what = " ".join(text for text in selection.values() if text) or "all tests"
    more = f"; {others} of other tests: name the one that is meant with --dynperf-resume=SESSION" if others else ""
    msg = f"--dynperf-resume: {reports} holds no incomplete session of {what}{more}"
    raise UsageError(msg)


def _run_directories(reports: Path) -> list[Path]:
    """From the oldest to the newest."""
    if not reports.is_dir():
        return []
    return sorted(path for path in reports.iterdir() if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink())


# ---- whether it may go on


def check_same(before: Invocation, now: Mapping[str, str], *, seed: int | None) -> None:
    """Nothing that decides results has changed since the session began. ``seed`` is the one that was asked for now.

    :raises UsageError: naming all that has, with what it was and what it is.
    """
    differences = [
        f"{name} was {before.facts.get(name) or 'not set'}, is {now.get(name) or 'not set'}"
        for name in sorted(before.facts.keys() | now.keys())
        if before.facts.get(name, "") != now.get(name, "")
    ]
    if seed is not None and seed != before.seed:
        differences.append(f"--dynperf-seed was {before.seed}, is {seed}: leave it out")
    if differences:
        msg = (
            f"--dynperf-resume: {before.stamp}-{before.session_id} cannot go on, because results of both parts would not belong together: "
            f"{'; '.join(differences)}. Restore that, or measure anew."
        )
        raise UsageError(msg)


def check_cases(before: SessionReport, planned: Iterable[str]) -> None:
    """The cases of the session are those of this invocation.

    :raises UsageError: naming those that are missing or new.
    """
    known, now = {*(result.case.name for result in before.results), *before.missing}, set(planned)
    gone, new = sorted(known - now), sorted(now - known)
    if gone or new:
        parts = [
            f"{what} {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
            for what, names in (("lacks", gone), ("adds", new))
            if names
        ]
        msg = f"--dynperf-resume: this invocation {' and '.join(parts)}: select the tests that the session was begun with: {before.command}"
        raise UsageError(msg)


def earlier_part(run: RunDirectory) -> SessionReport:
    """The session as it was left, for merging: what cut it short is over.

    :raises UsageError: when it cannot be read.
    """
    return replace(read_session(run.session_json), interrupted=None)


def _digest(settings: Settings) -> str:
    """Of the changes that are in no commit: names and contents, so that the same changes are the same. Byte code is no change."""
    top = next((path for path in (settings.rootdir, *settings.rootdir.parents) if (path / ".git").exists()), settings.rootdir)
    digest = hashlib.sha256()
    for name in uncommitted(settings.rootdir, settings.rootdir / "baselines"):
        if "__pycache__" in name:
            continue
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        path = top / name
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
