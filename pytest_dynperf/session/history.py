"""Many sessions of the same cases, night by night: levels, where they changed, and drift from the anchor. It judges nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.ring import Key, key_of
from pytest_dynperf.baseline.store import document_files, found_among, load_all, stored
from pytest_dynperf.errors import UsageError, nearest
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.quantity import Direction
from pytest_dynperf.report.meaning import ITL, THROUGHPUT, TTFT
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.session.session_files import read_sessions
from pytest_dynperf.verdict.history import TOLERANCE, change_points, creep
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dynperf.baseline.document import BaselineRun
    from pytest_dynperf.baseline.store import Stored
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.metrics.definition import Cell, Meaning
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.verdict.history import ChangePoint, Creep

USUAL = (THROUGHPUT, ITL, TTFT)
"""Shown of a case whose gates are not known, because only accepted documents of it are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One session of a case: ``values`` are the medians of its runs. ``outcome`` is ``None`` where only the accepted document is known."""

    stamp: str
    session_id: str
    values: Mapping[Cell, float]
    outcome: Outcome | None = None


@dataclass(slots=True, kw_only=True)
class CaseHistory:
    """The nights of a case under one binding key, oldest first. ``invalid`` nights have no values and are only counted. ``tolerances`` are
    those of the newest gates. ``anchor`` holds the medians of the session that drift is measured against, empty without one.
    """

    case: str
    environment: str
    nights: list[Night] = field(default_factory=list)
    invalid: int = 0
    tolerances: dict[Cell, float] = field(default_factory=dict)
    meanings: dict[str, Meaning] = field(default_factory=lambda: dict(MEANINGS))
    anchor: dict[Cell, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One cell of a case: ``values`` per night in the metric's unit, oldest first, with their ``stamps`` and outcomes. ``changes`` is
    ``None`` where nobody looked for change points, and ``why`` says why. ``drift`` is ``None`` without an anchor.
    """

    case: str
    environment: str
    cell: Cell
    means: Meaning | None
    stamps: tuple[str, ...]
    values: tuple[float, ...]
    outcomes: tuple[Outcome | None, ...]
    changes: tuple[ChangePoint, ...] | None
    why: str | None
    drift: Creep | None


_LEAST_RATE = 1e-3
"""What a tolerance may leave of a rate, so that there is a logarithm."""

Histories = dict[tuple[str, Key], CaseHistory]


def read_history(paths: Sequence[Path], baselines: Path | None, *, told: Callable[[str], None] = lambda _: None) -> tuple[CaseHistory, ...]:
    """The histories of every case that ``paths`` hold: run directories at any depth, session.json files, or stores of baselines.
    ``baselines`` adds a store: accepted sessions whose run directories are gone, and anchors; ``None``: where the newest session found its
    baselines, if that is here. ``told`` hears which session is read.

    :raises UsageError: when there is nothing.
    :raises BaselineError: for a document that cannot be read.
    """
    stores = [path for path in paths if _is_store(path)]
    sessions = [one.report for one in read_sessions((path for path in paths if path not in stores), told=told)]
    root = baselines if baselines is not None else _used(sessions)
    if baselines is not None and not baselines.is_dir():
        msg = f"{baselines}: there is no such directory of baselines (--baselines)"
        raise UsageError(msg)
    histories: Histories = {}
    for report in sessions:
        for result in report.results:
            _add_result(histories, report, result)
    for store in dict.fromkeys((*stores, *((root,) if root is not None else ()))):
        _add_store(histories, store, everything=store in stores or baselines is not None)
    for history in histories.values():
        history.nights.sort(key=lambda night: (night.stamp, night.session_id))
    return tuple(sorted((one for one in histories.values() if one.nights), key=lambda one: (one.case, one.nights[-1].stamp)))


def _is_store(path: Path) -> bool:
    """Documents of baselines and no session: below a run directory there are files that only look like documents."""
    name = RunDirectory(path).session_json.name
    return path.is_dir() and next(path.glob(f"**/{name}"), None) is None and bool(document_files(path))


def _used(sessions: Sequence[SessionReport]) -> Path | None:
    root = Path(sessions[-1].baseline_directory) if sessions else None
    return root if root is not None and root.is_dir() else None


def _add_result(histories: Histories, report: SessionReport, result: CaseResult) -> None:
    if result.environment is None:
        return
    key: Key = tuple(sorted(binding_key(result.case, result.environment).items()))
    history = histories.setdefault((result.case.name, key), CaseHistory(case=result.case.name, environment=result.environment.name))
    history.meanings.update(result.meanings)
    history.tolerances = {gate.cell: gate.tolerance for gate in result.case.expectation.gates}
    if (report.stamp, report.session_id) in {(night.stamp, night.session_id) for night in history.nights}:
        return  # a copy of a session, as judging again makes one, is no second night
    values = _medians(result.measurement.runs) if result.measurement is not None else {}
    if result.verdict.outcome is Outcome.INVALID or not values:
        history.invalid += 1
        return
    history.nights.append(Night(stamp=report.stamp, session_id=report.session_id, values=values, outcome=result.verdict.outcome))


def _add_store(histories: Histories, store: Path, *, everything: bool) -> None:
    """Accepted sessions that are not among the nights yet, and anchors; only of cases that are there already, unless ``everything``."""
    if everything:
        entries = load_all(store, document_files(store))
    else:
        names = sorted({name for name, _ in histories})
        entries = tuple(entry for name in names for entry in stored(store, suite=name.split("/", 1)[0], case_id=name.split("/", 1)[1]))
    groups: dict[tuple[str, Key], list[Stored]] = {}
    for entry in entries:
        groups.setdefault((f"{entry.document.suite}/{entry.document.case_id}", key_of(entry.document)), []).append(entry)
    for place, group in groups.items():
        if place not in histories and not everything:
            continue
        name = group[-1].document.environment_name
        history = histories.setdefault(place, CaseHistory(case=place[0], environment=name))
        known = {(night.stamp, night.session_id) for night in history.nights}
        history.nights += [
            Night(stamp=entry.document.stamp, session_id=entry.document.session_id, values=_medians(entry.document.runs))
            for entry in group
            if (entry.document.stamp, entry.document.session_id) not in known
        ]
        anchor = found_among(group, dict(place[1])).anchor
        if anchor is not None:
            history.anchor = _medians(anchor.runs)


def _medians(runs: Sequence[Run] | Sequence[BaselineRun]) -> dict[Cell, float]:
    """Of every cell that all runs have."""
    common = set.intersection(*(set(run.values) for run in runs)) if runs else set()
    return {cell: median(run.values[cell] for run in runs) for cell in common}


# ---- what is shown of them


def selected(histories: Sequence[CaseHistory], pattern: str | None) -> tuple[CaseHistory, ...]:
    """Those whose ``suite/case_id`` or case id fits the shell pattern.

    :raises UsageError: where none does.
    """
    if pattern is None:
        return tuple(histories)
    found = tuple(one for one in histories if fnmatchcase(one.case, pattern) or fnmatchcase(one.case.partition("/")[2], pattern))
    if not found:
        names = sorted({one.case for one in histories})
        msg = f"--case {pattern!r} fits no case{nearest(pattern, names)}. There are: {', '.join(names) or 'none'}"
        raise UsageError(msg)
    return found


def cells_shown(histories: Sequence[CaseHistory], metrics: Sequence[str]) -> list[list[Cell]]:
    """For each history the cells to show: those of ``metrics`` (``METRIC[/STATISTIC]``, version or not), by default the gated ones.

    :raises UsageError: for a metric that no case has.
    """
    measured = [sorted({cell for night in history.nights for cell in night.values}) for history in histories]
    if not metrics:
        return [
            [cell for cell in (history.tolerances or USUAL) if cell in set(cells)]
            for history, cells in zip(histories, measured, strict=True)
        ]
    for text in metrics:
        if not any(_means(text, cell) for cells in measured for cell in cells):
            names = sorted({f"{cell.metric.rsplit('.v', 1)[0]}/{cell.statistic}" for cells in measured for cell in cells})
            msg = f"--metric {text!r} is measured in no case{nearest(text, names)}. There are: {', '.join(names) or 'none'}"
            raise UsageError(msg)
    return [[cell for text in metrics for cell in cells if _means(text, cell)] for cells in measured]


def _means(text: str, cell: Cell) -> bool:
    metric, _, statistic = text.partition("/")
    return metric in (cell.metric, cell.metric.rsplit(".v", 1)[0]) and statistic in ("", cell.statistic)


def trend(history: CaseHistory, cell: Cell) -> Trend:
    """The nights that have the cell, with change points and drift. Costs 10 ms for 40 nights, and grows with their square."""
    nights = [night for night in history.nights if cell in night.values]
    values = tuple(night.values[cell] for night in nights)
    means = history.meanings.get(cell.metric)
    changes, why = _changes(values, means)
    return Trend(
        case=history.case,
        environment=history.environment,
        cell=cell,
        means=means,
        stamps=tuple(night.stamp for night in nights),
        values=values,
        outcomes=tuple(night.outcome for night in nights),
        changes=changes,
        why=why,
        drift=_drift(values, history.anchor.get(cell), means, history.tolerances.get(cell)),
    )


def _changes(values: Sequence[float], means: Meaning | None) -> tuple[tuple[ChangePoint, ...] | None, str | None]:
    flaw = _flaw(values, means)
    if flaw is not None or means is None:
        return None, flaw
    try:
        return change_points(values, sign=means.direction.sign), None
    except UsageError as error:  # the extra is not installed: the trend can be shown without
        return None, str(error)


def _flaw(values: Sequence[float], means: Meaning | None) -> str | None:
    """What keeps the values from having logarithms with a worse direction."""
    if means is None:
        return "the metric is not known here, and no file says what it means"
    if means.direction is Direction.NEITHER:
        return "neither direction of the metric is worse"
    return None if all(value > 0 for value in values) else "a value is 0 and has no logarithm"


def _drift(values: Sequence[float], anchor: float | None, means: Meaning | None, tolerance: float | None) -> Creep | None:
    if anchor is None or not values or means is None or _flaw((*values, anchor), means) is not None:
        return None
    sign, allowed = means.direction.sign, TOLERANCE if tolerance is None else _of_anchor(tolerance, anchor, means)
    if means.kind is not Kind.MAGNITUDE:  # its prior is on another scale
        return creep(values, anchor, sign=sign, tolerance=allowed)
    return creep(values, anchor, sign=sign, tolerance=allowed, prior_sd=means.prior_sd)


def _of_anchor(tolerance: float, anchor: float, means: Meaning) -> float:
    """As a fraction of the anchor, as which a drift is shown. That of a rate is in points."""
    if means.kind is not Kind.RATE:
        return tolerance
    worse = max(anchor + means.direction.sign * tolerance, _LEAST_RATE)
    return max(anchor / worse, worse / anchor) - 1
