"""Verdicts as plain JSON types: that of a case, those of its cells, and what is said beside them."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.waiver import Waiver
from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.json_measurement import decode_cell
from pytest_dynperf.report.plain import take, take_all, take_member, take_optional, take_table
from pytest_dynperf.verdict.annotations import Annotations
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Scale, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.metrics.definition import Cell

_OUTCOMES = {outcome.text: outcome for outcome in Outcome}


def encode_verdict(verdict: Verdict, confirmed_by: str) -> dict[str, object]:
    """The table ``verdict`` of a case; its cells stand with their metrics."""
    return {
        "outcome": verdict.outcome.text,
        "reasons": list(verdict.reasons),
        "circumstances": list(verdict.circumstances),
        "compared_with": None if verdict.compared_with is None else list(verdict.compared_with),
        "parity": None if verdict.parity is None else verdict.parity.text,
        "means": None if verdict.means is None else verdict.means.value,
        "confirmed_by": confirmed_by,
        "waiver": None if verdict.waiver is None else _encode_waiver(verdict.waiver),
        "expired": [_encode_waiver(waiver) for waiver in verdict.expired],
    }


def decode_verdict(table: Mapping[str, object], metrics: Sequence[Mapping[str, object]]) -> Verdict:
    """The verdict whose cells stand in ``metrics``.

    :raises UsageError: when a key is missing or of another type.
    """
    outcome, waiver = decode_outcome(table), take_optional(table, "waiver", dict)
    return Verdict(
        outcome=outcome,
        cells=tuple(_decode_cell_verdict(metric) for metric in metrics if metric.get("verdict") is not None),
        reasons=take_all(table, "reasons", str),
        means=None if take_optional(table, "means", str) is None else take_member(table, "means", Means),
        waiver=None if waiver is None else _decode_waiver(waiver),
        expired=tuple(_decode_waiver(entry) for entry in take_all(table, "expired", dict)),
        # All three came later, within the schema: a file without them does not say.
        circumstances=take_all(table, "circumstances", str) if "circumstances" in table else (),
        compared_with=take_all(table, "compared_with", str) if table.get("compared_with") is not None else None,
        parity=decode_outcome(table, "parity") if table.get("parity") is not None else None,
    )


def decode_outcome(table: Mapping[str, object], key: str = "outcome") -> Outcome:
    """The outcome whose text stands under ``key``.

    :raises UsageError: when it is missing, or none.
    """
    text = take(table, key, str)
    if text not in _OUTCOMES:
        msg = f"{key} {text!r} is not one of {', '.join(_OUTCOMES)}"
        raise UsageError(msg)
    return _OUTCOMES[text]


def _encode_waiver(waiver: Waiver) -> dict[str, object]:
    return {
        "case": waiver.case,
        "metric": waiver.metric,
        "reason": waiver.reason,
        "link": waiver.link,
        "expires": waiver.expires.isoformat(),
    }


def _decode_waiver(table: Mapping[str, object]) -> Waiver:
    expires = take(table, "expires", str)
    try:
        date = datetime.date.fromisoformat(expires)
    except ValueError as error:
        msg = f"key 'expires' should be a date such as 2026-12-31, found {expires!r}"
        raise UsageError(msg) from error
    return Waiver(
        case=take(table, "case", str),
        metric=take_optional(table, "metric", str),
        reason=take(table, "reason", str),
        link=take(table, "link", str),
        expires=date,
    )


# ---- cells


def encode_cell_verdict(cell: CellVerdict) -> dict[str, object]:
    """The table ``verdict`` of an entry of ``metrics``."""
    return {
        "outcome": cell.outcome.text,
        "decisive": cell.decisive,
        "tolerance": cell.tolerance,
        "baseline": cell.baseline,
        "candidate": cell.candidate,
        "values": list(cell.values),
        "control_values": list(cell.control_values),
        "scale": cell.scale.value,
        "delta": cell.delta,
        "interval": None if cell.interval is None else list(cell.interval),
        "limit": cell.limit,
        "mde": cell.mde,
        "p_value": cell.p_value,
        "run_cv": cell.run_cv,
        "sessions": cell.sessions,
        "pairs": cell.pairs,
        "underpowered": cell.underpowered,
        "suspect": cell.suspect,
        "history": list(cell.history),
        "reasons": list(cell.reasons),
    }


def _decode_cell_verdict(metric: Mapping[str, object]) -> CellVerdict:
    table = take_table(metric, "verdict")
    bounds = None if table.get("interval") is None else take_all(table, "interval", float)
    if bounds is not None and len(bounds) != 2:
        msg = f"key 'interval' should hold two numbers, found {len(bounds)}"
        raise UsageError(msg)
    return CellVerdict(
        cell=decode_cell(metric),
        outcome=decode_outcome(table),
        decisive=take(table, "decisive", bool),
        tolerance=take(table, "tolerance", float),
        candidate=take_optional(table, "candidate", float),
        values=take_all(table, "values", float),
        baseline=take_optional(table, "baseline", float),
        delta=take_optional(table, "delta", float),
        interval=(bounds[0], bounds[1]) if bounds is not None else None,
        limit=take_optional(table, "limit", float),
        mde=take_optional(table, "mde", float),
        p_value=take_optional(table, "p_value", float),
        run_cv=take_optional(table, "run_cv", float),
        sessions=take(table, "sessions", int),
        underpowered=take(table, "underpowered", bool),
        suspect=take(table, "suspect", bool),
        history=take_all(table, "history", float),
        reasons=take_all(table, "reasons", str),
        scale=take_member(table, "scale", Scale),
        pairs=take(table, "pairs", int),
        control_values=take_all(table, "control_values", float),
    )


# ---- beside the verdict


def encode_suspicion(suspicion: Suspicion) -> dict[str, object]:
    """An entry of ``suspicions``."""
    return {
        "what": suspicion.what,
        "sentence": suspicion.sentence,
        "cell": None if suspicion.cell is None else _encode_cell(suspicion.cell),
        "before": suspicion.before,
        "now": suspicion.now,
        "delta": suspicion.delta,
        "name": suspicion.name,
        "text_before": suspicion.text_before,
        "text_now": suspicion.text_now,
    }


def decode_suspicion(table: Mapping[str, object]) -> Suspicion:
    """The suspicion that :func:`encode_suspicion` wrote.

    :raises UsageError: when a key is missing or of another type.
    """
    cell = take_optional(table, "cell", dict)
    return Suspicion(
        what=take(table, "what", str),
        sentence=take(table, "sentence", str),
        cell=None if cell is None else decode_cell(cell),
        before=take_optional(table, "before", float),
        now=take_optional(table, "now", float),
        delta=take_optional(table, "delta", float),
        name=take_optional(table, "name", str),
        text_before=take_optional(table, "text_before", str),
        text_now=take_optional(table, "text_now", str),
    )


def encode_annotations(annotations: Annotations | None) -> dict[str, object] | None:
    """The key ``annotations`` of a session."""
    if annotations is None:
        return None
    return {
        "judged": annotations.judged,
        "shift": annotations.shift,
        "beyond_shift": [{"case": case, **_encode_cell(cell)} for case, cell in annotations.beyond_shift],
        "survivors": [{"case": case, **_encode_cell(cell)} for case, cell in annotations.survivors],
    }


def decode_annotations(table: Mapping[str, object] | None) -> Annotations | None:
    """The annotations that :func:`encode_annotations` wrote.

    :raises UsageError: when a key is missing or of another type.
    """
    if table is None:
        return None
    return Annotations(
        judged=take(table, "judged", int),
        shift=take_optional(table, "shift", float),
        beyond_shift=_cells_of_cases(table, "beyond_shift"),
        survivors=_cells_of_cases(table, "survivors"),
    )


def _cells_of_cases(table: Mapping[str, object], key: str) -> tuple[tuple[str, Cell], ...]:
    return tuple((take(entry, "case", str), decode_cell(entry)) for entry in take_all(table, key, dict))


def _encode_cell(cell: Cell) -> dict[str, object]:
    return {"id": cell.metric, "statistic": cell.statistic}
