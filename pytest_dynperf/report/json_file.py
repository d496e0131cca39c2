"""``session.json``, written and read. Schema 1; every field is documented in docs/session-json.md.

The same tables cross from xdist workers to the controller, so they hold plain JSON types only. What is read is what was written, with one
exception that is meant: values of an invalid run or case are not written (:func:`~pytest_dynperf.report.session_report.withheld`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.report.json_case import decode_case, encode_case
from pytest_dynperf.report.json_measurement import decode_cell, decode_measurement, encode_metrics, encode_run
from pytest_dynperf.report.plain import plain_table, take, take_all, take_map, take_optional, take_table
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.report.wording import counts
from pytest_dynperf.verdict.verdict import CellVerdict, Means, Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Measurement

SCHEMA = 1
_OUTCOMES = {outcome.text: outcome for outcome in Outcome}


def encode_session(report: SessionReport) -> dict[str, object]:
    """``session.json`` as plain JSON types, keys in a fixed order.

    :raises TypeError: when a value is not of a plain type (numpy), with its place.
    :raises ValueError: when a number is not finite.
    """
    tally = counts(report.results)
    encoded: dict[str, object] = {
        "schema": SCHEMA,
        "session_id": report.session_id,
        "stamp": report.stamp,
        "command": report.command,
        "seed": report.seed,
        "platform": report.platform,
        "simulated": report.simulated,
        "complete": report.complete,
        "interrupted": report.interrupted,
        "missing": list(report.missing),
        "outcome": max(tally).text if tally else None,
        "counts": {outcome.text: number for outcome, number in tally.items()},
        "versions": dict(sorted(report.versions.items())),
        "duration_s": report.duration_s,
        "baseline_directory": report.baseline_directory,
        "run_directory": report.run_directory,
        "accepted": list(report.accepted),
        "refused": list(report.refused),
        "cases": [encode_result(result) for result in report.results],
    }
    return plain_table(encoded, "session")


def to_text(encoded: Mapping[str, object]) -> str:
    """The text of the file: two spaces of indent, keys in the order given, a newline at the end."""
    return json.dumps(encoded, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def decode_session(encoded: Mapping[str, object]) -> SessionReport:
    """The report that ``encoded`` is the image of. Derived keys (``complete``, ``outcome``, ``counts``) are not read.

    :raises UsageError: when the schema is newer than this version, or a key is missing or of another type; names the case.
    """
    _require_schema(encoded)
    return SessionReport(
        session_id=take(encoded, "session_id", str),
        stamp=take(encoded, "stamp", str),
        command=take(encoded, "command", str),
        seed=take(encoded, "seed", int),
        platform=take(encoded, "platform", str),
        simulated=take(encoded, "simulated", bool),
        results=tuple(decode_result(case) for case in take_all(encoded, "cases", dict)),
        missing=take_all(encoded, "missing", str),
        interrupted=take_optional(encoded, "interrupted", str),
        versions=take_map(encoded, "versions", str),
        duration_s=take(encoded, "duration_s", float),
        baseline_directory=take(encoded, "baseline_directory", str),
        run_directory=take(encoded, "run_directory", str),
        accepted=take_all(encoded, "accepted", str),
        refused=take_all(encoded, "refused", str),
    )


def encode_result(result: CaseResult) -> dict[str, object]:
    """One case as plain JSON types, keys in a fixed order. Values of an invalid run or case are left out.

    :raises TypeError: when a value is not of a plain type (numpy), with its place.
    :raises ValueError: when a number is not finite.
    """
    result = withheld(result)
    verdict = result.verdict
    encoded: dict[str, object] = {
        "schema": SCHEMA,
        **encode_case(result.case),
        "node_id": result.node_id,
        "environment": _encode_environment(result.environment),
        "baseline_provenance": dict(sorted(result.baseline_provenance.items())),
        "verdict": {
            "outcome": verdict.outcome.text,
            "reasons": list(verdict.reasons),
            "means": None if verdict.means is None else verdict.means.value,
            "confirmed_by": result.confirmed_by,
        },
        "metrics": _encode_judged_metrics(result),
        **_encode_runs(result.measurement),
        "confirmation": _encode_confirmation(result),
        "duration_s": result.duration_s,
        "reproduce": result.reproduce,
        "accept": result.accept,
        "records": list(result.records),
        "logs": list(result.logs),
    }
    return plain_table(encoded, result.case.name)


def decode_result(encoded: Mapping[str, object]) -> CaseResult:
    """The case that ``encoded`` is the image of. Metric ids that the catalogue does not know keep the unit and direction of the file.

    :raises UsageError: when the schema is newer than this version, or a key is missing or of another type; names the case.
    """
    _require_schema(encoded)
    try:
        return _decode_result(encoded)
    except UsageError as error:
        msg = f"case {encoded.get('case_id')!r}: {error}"
        raise UsageError(msg) from error


def _decode_result(encoded: Mapping[str, object]) -> CaseResult:
    verdict = take_table(encoded, "verdict")
    metrics = take_all(encoded, "metrics", dict)
    confirmation = take_optional(encoded, "confirmation", dict)
    confirmation_metrics = take_all(confirmation, "metrics", dict) if confirmation is not None else ()
    return CaseResult(
        case=decode_case(encoded),
        node_id=take(encoded, "node_id", str),
        verdict=Verdict(
            outcome=_outcome(verdict),
            cells=tuple(_decode_cell_verdict(metric) for metric in metrics if metric.get("verdict") is not None),
            reasons=take_all(verdict, "reasons", str),
            means=_means(verdict),
        ),
        measurement=_decode_runs(encoded, metrics),
        confirmation=_decode_runs(confirmation, confirmation_metrics) if confirmation is not None else None,
        environment=_decode_environment(take_optional(encoded, "environment", dict)),
        baseline_provenance=take_map(encoded, "baseline_provenance", str),
        duration_s=take(encoded, "duration_s", float),
        reproduce=take(encoded, "reproduce", str),
        accept=take(encoded, "accept", str),
        records=take_all(encoded, "records", str),
        logs=take_all(encoded, "logs", str),
        confirmed_by=take(verdict, "confirmed_by", str),
        unknown_metrics=_unknown_metrics([*metrics, *confirmation_metrics]),
    )


def _require_schema(encoded: Mapping[str, object]) -> None:
    schema = take(encoded, "schema", int)
    if schema != SCHEMA:
        msg = f"schema {schema} is not known here (this version reads {SCHEMA}): use the version of pytest-dynperf that wrote the file"
        raise UsageError(msg)


def _unknown_metrics(metrics: Sequence[Mapping[str, object]]) -> dict[str, tuple[str | None, str | None]]:
    return {
        take(metric, "id", str): (take_optional(metric, "unit", str), take_optional(metric, "direction", str))
        for metric in metrics
        if metric.get("id") not in CATALOGUE
    }


def _outcome(table: Mapping[str, object]) -> Outcome:
    text = take(table, "outcome", str)
    if text not in _OUTCOMES:
        msg = f"outcome {text!r} is not one of {', '.join(_OUTCOMES)}"
        raise UsageError(msg)
    return _OUTCOMES[text]


def _means(table: Mapping[str, object]) -> Means | None:
    text = take_optional(table, "means", str)
    known = {means.value: means for means in Means}
    if text is not None and text not in known:
        msg = f"means {text!r} is not one of {', '.join(known)}"
        raise UsageError(msg)
    return None if text is None else known[text]


def _encode_judged_metrics(result: CaseResult) -> list[dict[str, object]]:
    judged = {cell.cell: cell for cell in result.verdict.cells}
    metrics = encode_metrics(result.measurement.runs if result.measurement else (), list(judged), result.unknown_metrics)
    for metric in metrics:
        cell = judged.get(decode_cell(metric))
        metric["verdict"] = None if cell is None else _encode_cell_verdict(cell)
    return metrics


def _encode_cell_verdict(cell: CellVerdict) -> dict[str, object]:
    return {
        "outcome": cell.outcome.text,
        "decisive": cell.decisive,
        "tolerance": cell.tolerance,
        "baseline": cell.baseline,
        "candidate": cell.candidate,
        "values": list(cell.values),
        "delta": cell.delta,
        "interval": None if cell.interval is None else list(cell.interval),
        "limit": cell.limit,
        "mde": cell.mde,
        "p_value": cell.p_value,
        "run_cv": cell.run_cv,
        "sessions": cell.sessions,
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
        outcome=_outcome(table),
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
    )


def _encode_runs(measurement: Measurement | None) -> dict[str, object]:
    if measurement is None:
        return {"runs": None, "discarded": None, "problems": None}
    return {
        "runs": [encode_run(run) for run in measurement.runs],
        "discarded": [encode_run(run) for run in measurement.discarded],
        "problems": list(measurement.problems),
    }


def _decode_runs(table: Mapping[str, object], metrics: Sequence[Mapping[str, object]]) -> Measurement | None:
    if table.get("runs") is None:
        return None
    return decode_measurement(take_all(table, "runs", dict), take_all(table, "discarded", dict), take_all(table, "problems", str), metrics)


def _encode_confirmation(result: CaseResult) -> dict[str, object] | None:
    if result.confirmation is None:
        return None
    return {
        "metrics": encode_metrics(result.confirmation.runs, (), result.unknown_metrics),
        **_encode_runs(result.confirmation),
    }


def _encode_environment(environment: Environment | None) -> dict[str, object] | None:
    if environment is None:
        return None
    return {
        "platform": environment.platform,
        "name": environment.name,
        "key": dict(sorted(environment.key.items())),
        "provenance": dict(sorted(environment.provenance.items())),
        "may_be_baseline": environment.may_be_baseline,
    }


def _decode_environment(table: Mapping[str, object] | None) -> Environment | None:
    if table is None:
        return None
    return Environment(
        platform=take(table, "platform", str),
        key=take_map(table, "key", str),
        provenance=take_map(table, "provenance", str),
        may_be_baseline=take(table, "may_be_baseline", bool),
    )
