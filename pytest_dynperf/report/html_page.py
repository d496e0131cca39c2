"""The report for people: one self-contained HTML file that opens from disk, without a network, under a strict content security policy.

What somebody must see stands in the markup; the script filters, folds, unpacks and draws over time. Text from outside is escaped by the
templates, never marked as markup.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_dynperf.report import (
    annotations_text,
    certainty_text,
    chart,
    duet_text,
    interval_bar,
    parity_text,
    reason_text,
    sparkline,
    suspicion_text,
    waiver_text,
    wording,
)
from pytest_dynperf.report.drilldown import Drilldown
from pytest_dynperf.report.html_blocks import blocks_of
from pytest_dynperf.report.html_views import case_views
from pytest_dynperf.report.meaning import label, unit_of
from pytest_dynperf.report.rows import Row, provenance_changes
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.report.standing import standing, tally
from pytest_dynperf.report.suite_tables import suite_tables
from pytest_dynperf.report.sweep import sweeps
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_dynperf.report.html_views import CaseView

_WAITING = (Outcome.NO_BASELINE, Outcome.INCOMPARABLE, Outcome.IMPROVED, Outcome.INCONCLUSIVE)
_CARDS = 3
_FEW_CHANGES = 4
_FEW_ROWS = 16
"""Unchanged rows up to here are not folded when there is nothing else to show."""


def render(report: SessionReport, drilldown: Drilldown | None = None) -> str:
    """The whole page. ``drilldown`` adds what is drawn over time and the baseline's distributions.

    A page of up to 40 cases holds all of them in full. Of more, those that need somebody are, and the others are packed until they are
    opened: their verdicts, values and intervals are in the table either way. Takes 10 ms a case.

    :raises ValueError: when a number is not finite.
    """
    results = [withheld(result) for result in report.results]
    published = replace(report, results=tuple(results))
    views = case_views(results, report.annotations, drilldown or Drilldown())
    table = _table(views)
    environment = _templates()
    shared = {
        "report": report,
        "sentence": wording.verdict_sentence(report),
        "compared": any(row.cell.delta is not None for _, row in table if row is not None),
        "has_history": any(row.cell.history for _, row in table if row is not None),
        "extent": interval_bar.extent_of(_intervals(row for _, row in table if row is not None)),
        "few_rows": _FEW_ROWS,
    }
    blocks = blocks_of(views, environment.get_template("case.html.j2").make_module(shared))
    changed = [(view, row) for view, row in table if row is None or row.cell.outcome is not Outcome.UNCHANGED]
    unchanged = [(view, row) for view, row in table if row is not None and row.cell.outcome is Outcome.UNCHANGED]
    page = environment.get_template("page.html.j2").render(
        **shared,
        **_assets(draws=blocks.draws),
        blocks=blocks,
        anchors={view.result.case.name: view.anchor for view in views},
        few_changes=_FEW_CHANGES,
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
        changed=changed,
        unchanged=unchanged,
        environments=_environments(results),
        changes=_changes(results),
        sweeps=sweeps(results),
        arms=parity_text.views(results),
        suites=suite_tables(results),
    )
    return page.encode("utf-8", "backslashreplace").decode()  # a server can send half surrogates, and no file takes them


def _assets(*, draws: bool) -> dict[str, object]:
    """Style sheets and scripts, and the policy that allows these alone. What draws over time is left out where nothing is to be drawn."""
    vendor = "static/vendor/uplot"
    style = "".join(map(_file, ["static/report.css", *([f"{vendor}/uPlot.min.css"] if draws else [])]))
    scripts = [*([_file(f"{vendor}/uPlot.iife.min.js")] if draws else []), _file("static/report.js") + _file("static/course.js")]
    return {
        "policy": content_security_policy(style, *scripts),
        "style": Markup(style),  # noqa: S704 - our own file
        "scripts": [Markup(script) for script in scripts],  # noqa: S704 - our own files
    }


@cache
def _file(name: str) -> str:
    return files("pytest_dynperf.report").joinpath(name).read_text("utf-8")


def content_security_policy(style: str, *scripts: str) -> str:
    """Nothing may be loaded; only this style sheet and these scripts may run, by their hashes."""
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts)
    return f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; img-src data:; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
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
        sparkline=sparkline.sparkline,
        reasons=reason_text.reasons,
        explanation=reason_text.explanation,
        suspected=suspicion_text.suspected,
        waiver_text=waiver_text,
        what_decides=certainty_text.what_decides,
        wording=wording,
        label=label,
        unit_of=unit_of,
        Outcome=Outcome,
        standing=standing,
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


def _table(views: Sequence[CaseView]) -> list[tuple[CaseView, Row | None]]:
    """A line per judged cell; one without numbers for a case that is invalid or has no cell."""
    lines: list[tuple[CaseView, Row | None]] = []
    for view in views:
        if view.rows and view.result.verdict.outcome is not Outcome.INVALID:
            lines += [(view, row) for row in view.rows]
        else:
            lines.append((view, None))
    return lines


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
