"""Several sessions as one page: read, matched case by case, drawn. Nothing is judged; outcomes are those of the sessions."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_dynperf.report.meaning import label
from pytest_dynperf.report.scale_text import value_text
from pytest_dynperf.report.sessions_page import CaseView, Page, SessionView, TrendView, ValueView, render_sessions
from pytest_dynperf.report.standing import Standing, tally
from pytest_dynperf.report.trend_line import Dot, trend_line
from pytest_dynperf.report.wording import change, counted, duration, instant, verdict_sentence
from pytest_dynperf.run_directory import RunDirectory, safe_name, write_atomically
from pytest_dynperf.session.history import cells_shown, read_history, selected, trend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.history import CaseHistory, Night, Trend
    from pytest_dynperf.session.session_files import SessionFile

NAME = "sessions.html"
_COLUMNS = 8
"""So many sessions stand side by side; older ones are in the drawing alone."""
_NO_TEXT = "–"


def write_side_by_side(
    sessions: Sequence[SessionFile], out: Path, *, case: str | None = None, told: Callable[[str], None] = lambda _: None
) -> Path:
    """``sessions.html`` in ``out``; its path. ``case`` is a shell pattern, ``told`` hears what is being done.

    :raises UsageError: where no case fits.
    :raises RunDirectoryError: when it cannot be written.
    """
    told(f"matching the cases of {counted(len(sessions), 'session')}")
    histories = selected(read_history([session.file for session in sessions], None, told=told), case)
    columns = sessions[-_COLUMNS:]
    cases = []
    for number, (history, cells) in enumerate(zip(histories, cells_shown(histories, ()), strict=True), start=1):
        told(f"drawing {history.case} ({number} of {len(histories)})")
        cases.append(_case(history, [trend(history, cell) for cell in cells], columns, number))
    page = Page(
        sessions=tuple(_session(session, out) for session in sessions),
        columns=tuple(_session(session, out) for session in columns),
        cases=tuple(case for _, case in sorted(cases, key=lambda entry: -entry[0])),
        differing=tuple(_differing([session.report for session in columns])),
        notes=(f"Values of the newest {_COLUMNS} stand side by side.",) if len(sessions) > _COLUMNS else (),
    )
    path = out / NAME
    write_atomically(path, render_sessions(page))
    return path


def _session(session: SessionFile, out: Path) -> SessionView:
    report = session.report
    worst = next(iter(tally(report.results)), None)
    own = RunDirectory(session.file.parent).report_html
    return SessionView(
        name=f"{report.stamp}-{report.session_id}",
        instant=instant(report.stamp),
        kind="incomplete" if not report.complete or worst is None else worst.kind,
        symbol="!" if not report.complete or worst is None else worst.symbol,
        sentence=verdict_sentence(report),
        platform=report.platform + (" (simulated timing)" if report.simulated else ""),
        took=duration(report.duration_s),
        link=quote(os.path.relpath(own.absolute(), out.absolute())) if own.is_file() else "",
    )


def _case(history: CaseHistory, trends: Sequence[Trend], columns: Sequence[SessionFile], number: int) -> tuple[float, CaseView]:
    """How bad the case was in the newest session that judged it, and what is shown of it."""
    outcome = next((night.outcome for night in reversed(history.nights) if night.outcome is not None), None)
    own = None if outcome is None else Standing(outcome)
    places = {(night.stamp, night.session_id): place for place, night in enumerate(history.nights)}
    view = CaseView(
        name=history.case,
        anchor=f"case-{number}-{safe_name(history.case)}",
        environment=history.environment,
        kind="" if own is None else own.kind,
        symbol="" if own is None else own.symbol,
        outcome="accepted only" if own is None else own.text,
        sessions=len(history.nights),
        invalid=history.invalid,
        trends=tuple(_trend(one, history, columns, places) for one in trends if one.values),
    )
    return (-1.0 if own is None else own.severity), view


def _trend(one: Trend, history: CaseHistory, columns: Sequence[SessionFile], places: dict[tuple[str, str], int]) -> TrendView:
    dots = [
        Dot(value=value, kind="" if outcome is None else Standing(outcome).kind, words=f"{instant(stamp)}: {value_text(value, one.means)}")
        for stamp, value, outcome in zip(one.stamps, one.values, one.outcomes, strict=True)
    ]
    first, newest = value_text(one.values[0], one.means), value_text(one.values[-1], one.means)
    return TrendView(
        metric=label(one.cell),
        id=str(one.cell),
        drawing=trend_line(
            dots,
            words=f"{label(one.cell)} in {counted(len(dots), 'session')}, from {first} to {newest}",
            changes=[found.index for found in one.changes or ()],
        ),
        first=first,
        newest=newest,
        change=_relative(one.values[0], one.values[-1]),
        notes=tuple(_notes(one)),
        values=tuple(_value(one, history.nights, places.get((session.report.stamp, session.report.session_id))) for session in columns),
    )


def _value(one: Trend, nights: Sequence[Night], place: int | None) -> ValueView | None:
    if place is None or one.cell not in nights[place].values:
        return None
    value = nights[place].values[one.cell]
    before = next((night.values[one.cell] for night in reversed(nights[:place]) if one.cell in night.values), None)
    outcome = nights[place].outcome
    return ValueView(
        value=value_text(value, one.means),
        change="" if before is None else _relative(before, value),
        kind="" if outcome is None else Standing(outcome).kind,
    )


def _relative(before: float, now: float) -> str:
    return change(math.log(now / before), None) if before > 0 and now > 0 else _NO_TEXT


def _notes(one: Trend) -> list[str]:
    direction = None if one.means is None else one.means.direction.value
    texts = [
        f"{'worse' if found.delta > 0 else 'better'} from {instant(one.stamps[found.index])} on: {value_text(found.before, one.means)} → "
        f"{value_text(found.after, one.means)}, {change(found.delta, direction)}"
        for found in one.changes or ()
    ]
    if one.drift is not None and one.drift.crept:
        texts.append(f"drifted from the anchor: {change(one.drift.delta, direction)}, limit {change(one.drift.limit, direction)}")
    return texts


def _differing(reports: Sequence[SessionReport]) -> list[tuple[str, tuple[str, ...]]]:
    """Versions, and what environments recorded, where not all sessions say the same; of several environments in a session all texts."""
    recorded: list[dict[str, str]] = []
    for report in reports:
        texts: dict[str, dict[str, None]] = {}
        for result in report.results:
            if result.environment is not None:
                for name, text in {**result.environment.provenance, **result.environment.key}.items():
                    texts.setdefault(name, {})[text] = None
        recorded.append({**report.versions, **{name: ", ".join(sorted(found)) for name, found in texts.items()}})
    names = sorted({name for one in recorded for name in one})
    rows = [(name, tuple(one.get(name, _NO_TEXT) for one in recorded)) for name in names]
    return [(name, texts) for name, texts in rows if len(set(texts)) > 1]
