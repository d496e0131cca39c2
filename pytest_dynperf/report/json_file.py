"""``session.json``, written and read. Schema 2; every field is documented in docs/session-json.md.

The same tables cross from xdist workers to the controller, so they hold plain JSON types only. What is read is what was written, with one
exception that is meant: values of an invalid run or case are not written (:func:`~pytest_dynperf.report.session_report.withheld`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import UsageError
from pytest_dynperf.report.json_case import decode_case, encode_case
from pytest_dynperf.report.json_definition import decode_definitions, encode_definitions
from pytest_dynperf.report.json_duet import decode_duet, encode_duet, runs_of
from pytest_dynperf.report.json_measurement import decode_cell, decode_measurement, encode_metrics, encode_run, metric_ids
from pytest_dynperf.report.json_migration import SCHEMA, migrated_case, migrated_session
from pytest_dynperf.report.json_parity import decode_parity, encode_parity
from pytest_dynperf.report.json_verdict import (
    decode_annotations,
    decode_suspicion,
    decode_verdict,
    encode_annotations,
    encode_cell_verdict,
    encode_suspicion,
    encode_verdict,
)
from pytest_dynperf.report.plain import plain_table, plain_value, repeated, take, take_all, take_map, take_optional, take_table, take_value
from pytest_dynperf.report.section import Section
from pytest_dynperf.report.session_report import CaseResult, SessionReport, withheld
from pytest_dynperf.report.wording import counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.metrics.definition import Meaning


def encode_session(report: SessionReport) -> dict[str, object]:
    """``session.json`` as plain JSON types, keys in a fixed order.

    :raises TypeError: when a value is not of a plain type (numpy), with its place.
    :raises ValueError: when a number is not finite.
    """
    tally = counts(report.results)
    results = [withheld(result) for result in report.results]
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
        "resumed": list(report.resumed),
        "outcome": max(tally).text if tally else None,
        "counts": {outcome.text: number for outcome, number in tally.items()},
        "versions": dict(sorted(report.versions.items())),
        "duration_s": report.duration_s,
        "baseline_directory": report.baseline_directory,
        "run_directory": report.run_directory,
        "accepted": list(report.accepted),
        "refused": list(report.refused),
        "dry_run": report.dry_run,
        "sections": [plain_value(section) for section in report.sections],
        "annotations": encode_annotations(report.annotations),
        "definitions": encode_definitions(
            {metric_id for result in results for metric_id in _metric_ids(result)},
            {metric_id: means for result in results for metric_id, means in result.meanings.items()},
        ),
        "cases": [_encode_withheld(result) for result in results],
    }
    return plain_table(encoded, "session")


def to_text(encoded: Mapping[str, object]) -> str:
    """The text of the file: two spaces of indent, keys in the order given, a newline at the end."""
    return json.dumps(encoded, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def decode_session(encoded: Mapping[str, object]) -> SessionReport:
    """The report that ``encoded`` is the image of. Derived keys (``complete``, ``outcome``, ``counts``) are not read.

    :raises UsageError: when the schema is newer than this version, or a key is missing or of another type; names the case.
    """
    encoded = migrated_session(encoded)
    _require_schema(encoded)
    meanings = decode_definitions(take_all(encoded, "definitions", dict))
    results = tuple(_decode_named(case, meanings) for case in take_all(encoded, "cases", dict))
    if (twice := repeated(result.case.name for result in results)) is not None:
        msg = f"key 'cases': the case {twice} stands there twice, and each case of a session has one result"
        raise UsageError(msg)
    return SessionReport(
        session_id=take(encoded, "session_id", str),
        stamp=take(encoded, "stamp", str),
        command=take(encoded, "command", str),
        seed=take(encoded, "seed", int),
        platform=take(encoded, "platform", str),
        simulated=take(encoded, "simulated", bool),
        results=results,
        missing=take_all(encoded, "missing", str),
        resumed=take_all(encoded, "resumed", str) if "resumed" in encoded else (),
        interrupted=take_optional(encoded, "interrupted", str),
        versions=take_map(encoded, "versions", str),
        duration_s=take(encoded, "duration_s", float),
        baseline_directory=take(encoded, "baseline_directory", str),
        run_directory=take(encoded, "run_directory", str),
        accepted=take_all(encoded, "accepted", str),
        refused=take_all(encoded, "refused", str),
        annotations=decode_annotations(take_optional(encoded, "annotations", dict)),
        # Both came later, within the schema.
        dry_run=take(encoded, "dry_run", bool) if "dry_run" in encoded else False,
        sections=tuple(take_value({"sections": one}, "sections", Section) for one in take_all(encoded, "sections", dict))
        if "sections" in encoded
        else (),
    )


def encode_result(result: CaseResult) -> dict[str, object]:
    """One case that stands alone, as plain JSON types, keys in a fixed order. Values of an invalid run or case are left out.

    :raises TypeError: when a value is not of a plain type (numpy), with its place.
    :raises ValueError: when a number is not finite.
    """
    result = withheld(result)
    definitions = encode_definitions(_metric_ids(result), result.meanings)
    return plain_table({**_encode_withheld(result), "definitions": definitions}, result.case.name)


def _encode_withheld(result: CaseResult) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        **encode_case(result.case),
        "node_id": result.node_id,
        "part": result.part,
        "environment": _encode_environment(result.environment),
        "baseline_provenance": dict(sorted(result.baseline_provenance.items())),
        "prior_sd": dict(sorted(result.prior_sd.items())),
        "duet_possible": result.duet_possible,
        "verdict": encode_verdict(result.verdict, result.confirmed_by),
        "metrics": _encode_judged_metrics(result),
        **_encode_runs(result.measurement),
        "confirmation": _encode_confirmation(result),
        "duet": encode_duet(result.duet, result.meanings),
        "parity": encode_parity(result.parity),
        "suspicions": [encode_suspicion(suspicion) for suspicion in result.suspicions],
        "duration_s": result.duration_s,
        "reproduce": result.reproduce,
        "accept": result.accept,
        "records": list(result.records),
        "logs": list(result.logs),
    }


def _metric_ids(result: CaseResult) -> set[str]:
    """Every metric that the case says anything of, judged or not."""
    measured = [one for one in (result.measurement, result.confirmation) if one is not None]
    cells = [gate.cell for gate in result.case.expectation.gates] + [cell.cell for cell in result.verdict.cells]
    cells += [suspicion.cell for suspicion in result.suspicions if suspicion.cell is not None]
    runs = [run for one in measured for run in (*one.runs, *one.discarded)]
    return (
        {cell.metric for cell in cells} | metric_ids([*runs, *runs_of(result.duet)]) | {name.partition("/")[0] for name in result.prior_sd}
    )


def decode_result(encoded: Mapping[str, object]) -> CaseResult:
    """The case that :func:`encode_result` wrote. ``meanings`` are those that the table states.

    :raises UsageError: when the schema is newer than this version, or a key is missing or of another type; names the case.
    """
    return _decode_named(encoded, decode_definitions(take_all(migrated_case(encoded), "definitions", dict)))


def _decode_named(encoded: Mapping[str, object], meanings: Mapping[str, Meaning]) -> CaseResult:
    try:
        encoded = migrated_case(encoded)
        _require_schema(encoded)
        return _decode_result(encoded, meanings)
    except UsageError as error:
        msg = f"case {encoded.get('case_id')!r}: {error}"
        raise UsageError(msg) from error


def _decode_result(encoded: Mapping[str, object], meanings: Mapping[str, Meaning]) -> CaseResult:
    verdict = take_table(encoded, "verdict")
    metrics = take_all(encoded, "metrics", dict)
    confirmation = take_optional(encoded, "confirmation", dict)
    return CaseResult(
        case=decode_case(encoded),
        node_id=take(encoded, "node_id", str),
        verdict=decode_verdict(verdict, metrics),
        measurement=_decode_runs(encoded, metrics),
        confirmation=_decode_runs(confirmation, take_all(confirmation, "metrics", dict)) if confirmation is not None else None,
        environment=_decode_environment(take_optional(encoded, "environment", dict)),
        baseline_provenance=take_map(encoded, "baseline_provenance", str),
        duration_s=take(encoded, "duration_s", float),
        reproduce=take(encoded, "reproduce", str),
        accept=take(encoded, "accept", str),
        records=take_all(encoded, "records", str),
        logs=take_all(encoded, "logs", str),
        confirmed_by=take(verdict, "confirmed_by", str),
        meanings=meanings,
        duet=decode_duet(take_optional(encoded, "duet", dict)),
        suspicions=tuple(decode_suspicion(entry) for entry in take_all(encoded, "suspicions", dict)),
        prior_sd=take_map(encoded, "prior_sd", float),
        duet_possible=take(encoded, "duet_possible", bool),
        part=take(encoded, "part", int) if "part" in encoded else 1,
        parity=decode_parity(take_optional(encoded, "parity", dict)) if "parity" in encoded else None,
    )


def _require_schema(encoded: Mapping[str, object]) -> None:
    schema = take(encoded, "schema", int)
    if schema != SCHEMA:
        msg = (
            f"schema {schema} is not known here (this version reads up to {SCHEMA}): use the version of pytest-dynperf that wrote the file"
        )
        raise UsageError(msg)


def _encode_judged_metrics(result: CaseResult) -> list[dict[str, object]]:
    judged = {cell.cell: cell for cell in result.verdict.cells}
    metrics = encode_metrics(result.measurement.runs if result.measurement else (), list(judged), result.meanings)
    for metric in metrics:
        cell = judged.get(decode_cell(metric))
        metric["verdict"] = None if cell is None else encode_cell_verdict(cell)
    return metrics


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
        "metrics": encode_metrics(result.confirmation.runs, (), result.meanings),
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
