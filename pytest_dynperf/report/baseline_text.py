"""Words about the store: what lies in it, what an update would change, what differs between two documents."""

from __future__ import annotations

from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.report import wording
from pytest_dynperf.report.duet_text import told
from pytest_dynperf.report.meaning import ITL, THROUGHPUT, TTFT, label
from pytest_dynperf.report.scale_text import compared, value_text
from pytest_dynperf.report.wording import ABSENT
from pytest_dynperf.report.wrapping import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.baseline.listing import CaseRing
    from pytest_dynperf.metrics.definition import Cell
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.verdict.verdict import CellVerdict

_SHOWN = (THROUGHPUT, ITL, TTFT)


def update_lines(report: SessionReport) -> list[str]:
    """Per case what an update would write or refuse, and why; below it per gated cell old → new, with interval and MDE."""
    lines: list[str] = []
    refused = {name: text for name, _, text in (entry.partition(": ") for entry in report.refused)}
    if not report.complete:
        return [f"would be refused: {text}" for text in report.refused]
    for result in report.results:
        name = result.case.name
        fate = f"would be refused: {refused[name]}" if name in refused else "would be accepted"
        lines.append(f"{name}: {result.verdict.outcome.text}, {fate}")
        lines += _table([_cell_row(cell) for cell in result.verdict.cells if cell.candidate is not None], indent="  ")
    return [printable(line) for line in lines]


def _cell_row(cell: CellVerdict) -> tuple[str, ...]:
    means = MEANINGS.get(cell.cell.metric)
    texts = compared(cell, means)
    now, before = value_text(cell.candidate, means), value_text(cell.baseline, means)
    if cell.baseline is None:
        return label(cell.cell), f"{ABSENT} → {now}", "", ""
    return label(cell.cell), f"{before} → {now}", texts.change, f"MDE {texts.mde}"


def listing_lines(rings: Sequence[tuple[CaseRing, Sequence[CellVerdict]]]) -> list[str]:
    """A block per environment, a line per case and key, and below it one per cell; ``CV`` is that of the sessions' medians, ``MDE`` what
    the ring finds without a control. A cell that no comparison can use says why.
    """
    lines: list[str] = []
    environment = None
    for ring, cells in rings:
        if ring.environment_name != environment:
            environment = ring.environment_name
            lines.append(environment)
        lines.append(f"  {ring.case_name}: {_standing(ring)}")
        lines += _table([_noise_row(cell) for cell in cells if cell.baseline is not None], indent="    ")
        lines += [f"    {label(cell.cell)} cannot be compared: {'; '.join(cell.reasons)}" for cell in cells if cell.baseline is None]
    return [printable(line) for line in lines]


def _standing(ring: CaseRing) -> str:
    parts = [wording.counted(len(ring.ring), "session"), f"newest {wording.instant(ring.newest.stamp)}"]
    if ring.newest.epoch:
        parts.append(f"epoch {ring.newest.epoch} ({ring.newest.reason})")
    parts.append(f"anchor {wording.instant(ring.anchor.document.stamp)}" if ring.anchor is not None else "no anchor")
    if ring.unused:
        parts.append(f"{len(ring.unused)} no longer used")
    return ", ".join(parts)


def _noise_row(cell: CellVerdict) -> tuple[str, ...]:
    means = MEANINGS.get(cell.cell.metric)
    history = cell.history
    spread = wording.percent(stdev(history) / fmean(history)) if len(history) > 1 and fmean(history) > 0 else ABSENT
    return label(cell.cell), value_text(cell.baseline, means), f"CV {spread}", f"MDE {compared(cell, means).mde}"


def ring_lines(ring: CaseRing) -> list[str]:
    """The documents of a ring as a table, oldest first: medians of what gates use, and which take part."""
    inside = {id(document) for document in ring.ring}
    anchor = ring.anchor
    head = ("stamp", "session", "epoch", "runs", *(label(cell) for cell in _SHOWN), "")
    rows = [head]
    for entry in ring.entries:
        document = entry.document
        notes = ["anchor"] if anchor is not None and entry.path == anchor.path else []
        notes += [] if id(document) in inside else ["not in the ring"]
        values = (value_text(_median(document, cell), MEANINGS.get(cell.metric)) for cell in _SHOWN)
        rows.append((document.stamp, document.session_id, str(document.epoch), str(len(document.runs)), *values, ", ".join(notes)))
    reasons = {f"epoch {entry.document.epoch}: {entry.document.reason}": None for entry in ring.entries if entry.document.reason}
    lines = [f"{ring.case_name} in {ring.environment_name}: {_standing(ring)}", *_table(rows, indent="  "), *reasons]
    return [printable(line) for line in lines]


def document_lines(document: Baseline) -> list[str]:
    """One document: what and when, one line per cell with its value in each run, then key and provenance."""
    reason = f" ({document.reason})" if document.reason else ""
    lines = [
        f"{document.suite}/{document.case_id} in {document.environment_name}",
        f"session {document.session_id}, {wording.instant(document.stamp)}, epoch {document.epoch}{reason}",
        *_table(_value_rows(document), indent="  "),
        "key",
        *_table([(name, text) for name, text in sorted(document.key.items())], indent="  "),
        "provenance",
        *_table([(name, text) for name, text in sorted(document.provenance.items())], indent="  "),
    ]
    return [printable(line) for line in lines]


def _value_rows(document: Baseline) -> list[tuple[str, ...]]:
    runs = document.runs
    cells = list(dict.fromkeys(cell for run in runs for cell in run.values))
    rows = [("requests", *(f"{run.requests:,}" for run in runs)), ("errors", *(f"{run.errors:,}" for run in runs))]
    rows += [(label(cell), *(_value(run.values.get(cell), document, cell) for run in runs)) for cell in cells]
    return [("", *(f"run {number}" for number in range(1, len(runs) + 1))), *rows]


def _value(value: float | None, document: Baseline, cell: Cell) -> str:
    means = MEANINGS.get(cell.metric)
    return wording.quantity(value, document.units[cell.metric]) if means is None else value_text(value, means)


def _median(document: Baseline, cell: Cell) -> float | None:
    values = [run.values[cell] for run in document.runs if cell in run.values]
    return median(values) if values else None


def difference_lines(
    first: str,
    second: str,
    cells: Sequence[CellVerdict],
    key: Mapping[str, tuple[str | None, str | None]],
    provenance: Mapping[str, tuple[str | None, str | None]],
) -> list[str]:
    """Two sides: what keeps them from being comparable first, then the cells, then what else differs."""
    lines = [f"A {first}", f"B {second}"]
    if key:
        lines += ["not comparable: the keys differ", *_difference_rows(key)]
    lines += _table([_cell_row(cell) for cell in cells if cell.candidate is not None and cell.baseline is not None], indent="  ")
    if not any(cell.baseline is not None for cell in cells):
        lines.append("no cell is in both")
    if provenance:
        lines += ["what else differs", *_difference_rows(provenance)]
    return [printable(line) for line in lines]


def _difference_rows(found: Mapping[str, tuple[str | None, str | None]]) -> list[str]:
    return _table([(name, f"{told(name, ours)} → {told(name, theirs)}") for name, (ours, theirs) in found.items()], indent="  ")


def acceptance_lines(accepted: Mapping[str, Path], refused: Mapping[str, str], *, dry_run: bool) -> list[str]:
    """A line per case."""
    done, not_done = ("would accept", "would refuse") if dry_run else ("accepted", "refused")
    lines = [f"{done} {name}: {path}" for name, path in accepted.items()]
    return [printable(line) for line in (*lines, *(f"{not_done} {name}: {why}" for name, why in refused.items()))]


def _table(rows: Sequence[Sequence[str]], *, indent: str) -> list[str]:
    """A line per row, columns to the left."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [indent + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
