"""A session as an OpenMetrics text, for monitoring systems that keep series: one gauge per metric, with the case as labels.

Only gauges, and no time stamps: what reads files beside a host (node exporter's textfile collector) refuses stamps and knows fewer types.
Values are in the units of ``session.json``; what is absent has no line.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pytest_dynperf.report.meaning import in_catalogue_order, meaning_of
from pytest_dynperf.report.session_report import withheld
from pytest_dynperf.report.standing import standing
from pytest_dynperf.verdict.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.verdict.verdict import CellVerdict

PREFIX = "dynperf"
_UNITS, _SINGULAR = {"s": "seconds"}, {"s": "second"}
_NAME = re.compile(r"[^a-zA-Z0-9_]+")

_CHANGES = (
    ("change", "Change against the baseline on the scale of the label; + is worse."),
    ("change_limit", "What the change had to exceed in the step that decided."),
    ("change_detectable", "The smallest regression found with 80 % power."),
)

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


def openmetrics(report: SessionReport) -> str:
    """The whole text, with ``# EOF``. Figures of an invalid case are not in it, as in ``session.json``."""
    results = [withheld(result) for result in report.results]
    lines = _session_lines(report)
    lines += _family("cases", "Cases by outcome.", "", _by_outcome(results))
    lines += _family("case_fails", "1: the case fails (regressed, invalid, or a waiver that has expired).", "", [
        ((*_case(result), ("outcome", result.verdict.outcome.text)), float(standing(result.verdict).fails)) for result in results
    ])  # fmt: skip
    cells = [(result, cell) for result in results for cell in result.verdict.cells if cell.candidate is not None]
    lines += _metric_lines(cells)
    figures = [(_scaled(result, cell), (cell.delta, cell.limit, cell.mde)) for result, cell in cells]
    for place, (name, about) in enumerate(_CHANGES):
        known = [(labels, number) for labels, numbers in figures if (number := numbers[place]) is not None]
        lines += _family(name, about, "", known)
    return "\n".join([*lines, "# EOF", ""])


def _session_lines(report: SessionReport) -> list[str]:
    names = (("session", report.session_id), ("stamp", report.stamp), ("platform", report.platform))
    versions = tuple((_NAME.sub("_", name), version) for name, version in sorted(report.versions.items()))
    taken = {name for name, _ in names}
    simulated = (("simulated", "yes" if report.simulated else "no"),)
    unique = tuple({name: (name, text) for name, text in versions if name not in taken}.values())
    return [
        *_family("session_about", "What was measured, and with which versions.", "", [((*names, *simulated, *unique), 1.0)]),
        *_family("session_complete", "1: every collected case was reported.", "", [((), float(report.complete))]),
        *_family("session_duration", "Wall time of the session.", "seconds", [((), report.duration_s)]),
    ]


def _by_outcome(results: Iterable[CaseResult]) -> list[Sample]:
    """Every outcome, also those that did not occur: a series that ends is no zero."""
    found = Counter(result.verdict.outcome for result in results)
    return [((("outcome", outcome.text),), float(found[outcome])) for outcome in sorted(Outcome)]


def _metric_lines(cells: Sequence[tuple[CaseResult, CellVerdict]]) -> list[str]:
    """Two families a metric: what was measured, and the baseline."""
    lines = []
    for metric_id in dict.fromkeys(cell.metric for cell in in_catalogue_order(cell.cell for _, cell in cells)):
        own = [(result, cell) for result, cell in cells if cell.cell.metric == metric_id]
        means = meaning_of(metric_id, own[0][0].meanings)
        unit = "" if means is None else _unit(means.unit.value)
        name = _NAME.sub("_", metric_id)
        about = metric_id if means is None else f"{metric_id}: {means.formula} ({means.direction.value})"
        now = [((*_case(result), ("statistic", cell.cell.statistic)), cell.candidate) for result, cell in own]
        before = [((*_case(result), ("statistic", cell.cell.statistic)), cell.baseline) for result, cell in own]
        lines += _family(name, about, unit, [(labels, value) for labels, value in now if value is not None])
        lines += _family(
            f"{name}_baseline", f"Baseline of {metric_id}.", unit, [(labels, value) for labels, value in before if value is not None]
        )
    return lines


def _unit(symbol: str) -> str:
    """``tokens_per_second_per_user`` of ``tokens/s/user``."""
    first, *others = symbol.split("/")
    return "_per_".join([_UNITS.get(first, _word(first)), *(_SINGULAR.get(part, _word(part)) for part in others)])


def _word(text: str) -> str:
    return _NAME.sub("_", text.lower())


def _case(result: CaseResult) -> Labels:
    return (("platform", result.case.platform), ("suite", result.case.suite), ("case", result.case.case_id))


def _scaled(result: CaseResult, cell: CellVerdict) -> Labels:
    return (*_case(result), ("metric", cell.cell.metric), ("statistic", cell.cell.statistic), ("scale", cell.scale.value))


def _family(name: str, about: str, unit: str, samples: Iterable[Sample]) -> list[str]:
    full = f"{PREFIX}_{name}" + (f"_{unit}" if unit and not name.endswith(f"_{unit}") else "")
    found: Mapping[Labels, float] = dict(samples)  # a case that stands there twice has one series
    if not found:
        return []
    head = [f"# TYPE {full} gauge", *([f"# UNIT {full} {unit}"] if unit else []), f"# HELP {full} {_escaped(about)}"]
    return head + [f"{full}{_labels(labels)} {value!r}" for labels, value in found.items()]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels) + "}" if labels else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
