"""The report for people: one self-contained HTML file that opens from disk, without a network, under a strict content security policy.

Everything stands in the markup; the script only filters and folds. Text from outside is escaped by the templates, never marked as markup.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_dynperf.measurement.measurement import Measurement
from pytest_dynperf.report import (
    annotations_text,
    certainty_text,
    chart,
    duet_text,
    interval_bar,
    parity_text,
    reason_text,
    suspicion_text,
    waiver_text,
    wording,
)
from pytest_dynperf.report.meaning import in_catalogue_order, label, meaning_of, unit_of
from pytest_dynperf.report.pair_strip import pair_strip
from pytest_dynperf.report.rows import Row, provenance_changes, rows
from pytest_dynperf.report.scale_text import compared, differences
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.report.standing import Standing, standing, tally
from pytest_dynperf.report.sweep import sweeps
from pytest_dynperf.run_directory import safe_name
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_dynperf.measurement.measurement import Duet, Pair, Run
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.verdict.annotations import Annotations

_WAITING = (Outcome.NO_BASELINE, Outcome.INCOMPARABLE, Outcome.IMPROVED, Outcome.INCONCLUSIVE)
_CARDS = 3
_FEW_ROWS = 16
"""Unchanged rows up to here are not folded when there is nothing else to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLine:
    """A cell of one session of runs: its values per run as text, or why there are none."""

    name: str
    id: str
    values: tuple[str, ...]
    absent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The pairs of one cell: what they say in words, and as a drawing."""

    name: str
    change: str
    pairs: str
    texts: tuple[str, ...]
    drawing: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One case on the page. ``rows`` are its judged cells, ``others`` the rest, ``confirming`` what the fresh session saw of the judged
    ones; ``strips`` the pairs of a duet, decisive cells first, and ``duet_runs`` all their runs; ``anchor`` is unique within the page.

    ``shown`` is its name in tables: without the suite where the session has one suite only.
    """

    result: CaseResult
    anchor: str
    shown: str
    rows: tuple[Row, ...]
    others: tuple[MetricLine, ...]
    confirming: tuple[MetricLine, ...]
    changes: tuple[tuple[str, str, str], ...]
    strips: tuple[Strip, ...]
    duet_runs: Measurement | None

    @property
    def standing(self) -> Standing:
        """How the case stands."""
        return standing(self.result.verdict)

    @property
    def has_card(self) -> bool:
        """Whether it is told before the table: what failed, and what is waived."""
        return self.standing.fails or self.standing.waived


def render(report: SessionReport) -> str:
    """The whole page. Its size grows by some 30 kB a case.

    :raises ValueError: when a number is not finite.
    """
    results = [withheld(result) for result in report.results]
    published = replace(report, results=tuple(results))
    views = _views(results, report.annotations)
    table = _table(views)
    style = files("pytest_dynperf.report").joinpath("static/report.css").read_text("utf-8")
    script = files("pytest_dynperf.report").joinpath("static/report.js").read_text("utf-8")
    page = (
        _templates()
        .get_template("page.html.j2")
        .render(
            report=report,
            policy=content_security_policy(style, script),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            sentence=wording.verdict_sentence(report),
            bad=not report.complete or not results or any(view.standing.fails for view in views),
            good=all(view.result.verdict.outcome in (Outcome.UNCHANGED, Outcome.IMPROVED) for view in views),
            counts=tally(results),
            expired=waiver_text.expired_cases(results),
            shift=annotations_text.shift(published),
            survivors_note=annotations_text.survivors_note(published),
            underpowered=certainty_text.underpowered_sentence(results),
            views=views,
            cards=[view for view in views if view.has_card][:_CARDS],
            more=sum(view.has_card for view in views) - _CARDS,
            waiting=[view for view in views if view.result.verdict.outcome in _WAITING],
            changed=[(view, row) for view, row in table if row is None or row.cell.outcome is not Outcome.UNCHANGED],
            unchanged=[(view, row) for view, row in table if row is not None and row.cell.outcome is Outcome.UNCHANGED],
            few_rows=_FEW_ROWS,
            compared=any(row.cell.delta is not None for _, row in table if row is not None),
            extent=interval_bar.extent_of(_intervals(row for _, row in table if row is not None)),
            environments=_environments(results),
            changes=_changes(results),
            sweeps=sweeps(results),
            arms=parity_text.views(results),
        )
    )
    return page.encode("utf-8", "backslashreplace").decode()  # a server can send half surrogates, and no file takes them


def content_security_policy(style: str, script: str) -> str:
    """Nothing may be loaded; only this style sheet and this script may run, by their hashes."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("pytest_dynperf.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        chart=chart,
        duet_text=duet_text,
        interval_bar=interval_bar,
        parity_text=parity_text,
        reasons=reason_text.reasons,
        explanation=reason_text.explanation,
        suspected=suspicion_text.suspected,
        waiver_text=waiver_text,
        what_decides=certainty_text.what_decides,
        wording=wording,
        label=label,
        unit_of=unit_of,
        Outcome=Outcome,
        Standing=Standing,
        link=_link,
    )
    return environment


def _link(path: str) -> str:
    """A file of the run directory, relative to the page in it; whatever the path says, it stays relative."""
    return "./" + quote(path.lstrip("/"))


def _intervals(shown: Iterable[Row]) -> Iterator[tuple[float, float]]:
    for row in shown:
        if row.texts.drawn is not None and row.texts.drawn.interval is not None:
            yield row.texts.drawn.interval


def _views(results: Sequence[CaseResult], annotations: Annotations | None) -> list[CaseView]:
    """Worst first, like the table."""
    ordered = sorted(results, key=lambda result: -standing(result.verdict).severity)
    one_suite = len({result.case.suite for result in results}) == 1
    views = []
    taken: set[str] = set()
    for result in ordered:
        anchor = f"case-{safe_name(result.case.name)}"
        while anchor in taken:
            anchor += "-"
        taken.add(anchor)
        views.append(
            CaseView(
                result=result,
                anchor=anchor,
                shown=result.case.case_id if one_suite else result.case.name,
                rows=tuple(rows([result], annotations)),
                others=_other_metrics(result),
                confirming=_confirming_metrics(result),
                changes=tuple(provenance_changes(result)),
                strips=tuple(_strips(result)),
                duet_runs=_duet_runs(result.duet),
            )
        )
    return views


def _table(views: Sequence[CaseView]) -> list[tuple[CaseView, Row | None]]:
    """A line per judged cell; one without numbers for a case that is invalid or has no cell."""
    lines: list[tuple[CaseView, Row | None]] = []
    for view in views:
        if view.rows and view.result.verdict.outcome is not Outcome.INVALID:
            lines += [(view, row) for row in view.rows]
        else:
            lines.append((view, None))
    return lines


def _other_metrics(result: CaseResult) -> tuple[MetricLine, ...]:
    if result.measurement is None:
        return ()
    judged = {cell.cell for cell in result.verdict.cells}
    cells = {cell: None for run in result.measurement.runs for cell in (*run.values, *run.absent) if cell not in judged}
    return tuple(_metric_line(cell, result.measurement.runs, result) for cell in in_catalogue_order(cells))


def _confirming_metrics(result: CaseResult) -> tuple[MetricLine, ...]:
    if result.confirmation is None:
        return ()
    return tuple(_metric_line(cell.cell, result.confirmation.runs, result) for cell in result.verdict.cells)


def _metric_line(cell: Cell, runs: Sequence[Run], result: CaseResult) -> MetricLine:
    unit = unit_of(cell.metric, result.meanings)
    seen = any(cell in run.values for run in runs)
    reasons = [run.absent[cell].reason for run in runs if cell in run.absent]
    return MetricLine(
        name=label(cell),
        id=cell.metric,
        values=tuple(wording.quantity(run.values.get(cell), unit) for run in runs),
        absent=None if seen else wording.absent(reasons[0] if reasons else ""),
    )


def _duet_runs(duet: Duet | None) -> Measurement | None:
    """The runs of both arms, each named by its pair, in the order in which they were measured."""
    if duet is None:
        return None
    return Measurement(runs=_arms(duet.pairs), discarded=_arms(duet.discarded), problems=duet.problems)


def _arms(pairs: Sequence[Pair]) -> tuple[Run, ...]:
    found: list[Run] = []
    for number, pair in enumerate(pairs, 1):
        arms = [replace(pair.candidate, name=f"pair {number}, candidate"), replace(pair.control, name=f"pair {number}, control")]
        found += arms if pair.candidate_first else reversed(arms)
    return tuple(found)


def _strips(result: CaseResult) -> Iterator[Strip]:
    for cell in sorted(result.verdict.cells, key=lambda cell: (not cell.decisive, -cell.outcome)):
        means = meaning_of(cell.cell.metric, result.meanings)
        found = differences(cell, means)
        said = compared(cell, means)
        if not cell.pairs or not found or said.drawn is None:
            continue
        texts = tuple(text for _, text in found)
        pairs = wording.counted(len(found), "pair")
        drawing = pair_strip(
            found,
            tolerance=said.drawn.tolerance,
            tolerance_text=said.tolerance,
            kind=Standing(cell.outcome, waived=standing(result.verdict).waived and cell.outcome is Outcome.REGRESSED).kind,
            words=f"{label(cell.cell)}, candidate against control, {pairs}: {', '.join(texts)}",
        )
        yield Strip(name=label(cell.cell), change=said.change, pairs=pairs, texts=texts, drawing=drawing)


def _environments(results: Sequence[CaseResult]) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """Each environment once: name, key, provenance."""
    found = {result.environment.name: result.environment for result in results if result.environment is not None}
    return [(name, dict(sorted(one.key.items())), dict(sorted(one.provenance.items()))) for name, one in found.items()]


def _changes(results: Sequence[CaseResult]) -> list[tuple[str, str, str, int]]:
    """What differs from the baselines' provenance, and for how many cases: name, before, now, cases."""
    tally: dict[tuple[str, str, str], int] = {}
    for result in results:
        for change in provenance_changes(result):
            tally[change] = tally.get(change, 0) + 1
    return [(*change, number) for change, number in sorted(tally.items())]
