"""The JSON Schema (draft 2020-12) of ``session.json``: its shape for whoever reads it with another program. What keys mean stands in
docs/session-json.md.

Tables that are the image of a value (topology, traffic, certificate, …) come from its type; the others stand here as the writers beside
this module write them, and tests hold what is written against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.observation.recording import Certificate
from pytest_dynperf.quantity import Direction, Unit
from pytest_dynperf.report.json_case import BOUNDS
from pytest_dynperf.report.json_migration import SCHEMA
from pytest_dynperf.report.section import Section
from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.verdict.arm_parity import Discordant, SubjectCounts
from pytest_dynperf.verdict.parity import Nondeterminism
from pytest_dynperf.verdict.verdict import Means, Outcome, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, object]

SCHEMA_ID = f"https://pytest-dynperf.invalid/session-{SCHEMA}.schema.json"
"""Names the schema; nothing is to be fetched from there (RFC 2606)."""

_VALUES = (Topology, Traffic, Fault, Objectives, Parity, Certificate, SubjectCounts, Discordant, Nondeterminism, Section)
_STAMP = r"^\d{8}T\d{6}Z$"


def session_schema(*, strict: bool = False) -> Schema:
    """The schema of a whole file. Every key that this version writes is required. ``strict`` allows no other one; a published schema that
    did so would refuse the files of the next version.
    """
    _, of_values = msgspec.json.schema_components(_VALUES, ref_template="#/$defs/{name}")
    definitions: dict[str, Schema] = {name: _image(table) for name, table in sorted(of_values.items())}
    definitions |= _own_definitions()
    document: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": f"session.json of pytest-dynperf, schema {SCHEMA}",
        **_session(),
        "$defs": definitions,
    }
    if strict:
        _close(document)
    return document


def _session() -> Schema:
    return _table(
        schema={"const": SCHEMA},
        session_id=_TEXT,
        stamp={"type": "string", "pattern": _STAMP},
        command=_TEXT,
        seed=_INTEGER,
        platform=_TEXT,
        simulated=_YES,
        complete=_YES,
        interrupted=_or_null(_TEXT),
        missing=_TEXTS,
        resumed=_list(_TEXT),
        outcome=_or_null(_OUTCOME),
        counts={"type": "object", "propertyNames": _OUTCOME, "additionalProperties": {"type": "integer", "minimum": 1}},
        versions=_map(_TEXT),
        duration_s=_AMOUNT,
        baseline_directory=_TEXT,
        run_directory=_TEXT,
        accepted=_TEXTS,
        refused=_TEXTS,
        dry_run=_YES,
        sections=_list(_ref("Section")),
        annotations=_or_null(_ref("annotations")),
        definitions=_list(_ref("definition")),
        cases=_list(_ref("case")),
    )


def _own_definitions() -> dict[str, Schema]:
    return {
        "cell": _table(**_CELL),
        "annotations": _table(
            judged=_INTEGER, shift=_or_null(_NUMBER), beyond_shift=_list(_ref("cell of a case")), survivors=_list(_ref("cell of a case"))
        ),
        "cell of a case": _table(case=_TEXT, **_CELL),
        "definition": _table(
            id=_TEXT,
            unit=_one_of(unit.value for unit in Unit),
            direction=_DIRECTION,
            kind=_one_of(kind.value for kind in Kind),
            prior_sd=_NUMBER,
            formula=_TEXT,
            source=_TEXT,
        ),
        "case": _case(),
        "expectation": _table(
            gates=_list(_table(**_CELL, tolerance=_NUMBER, decisive=_YES, required=_YES, exact=_YES)),
            **dict.fromkeys(BOUNDS, _NUMBER),
            objectives=_ref("Objectives"),
            parity=_ref("Parity"),
        ),
        "environment": _table(platform=_TEXT, name=_TEXT, key=_map(_TEXT), provenance=_map(_TEXT), may_be_baseline=_YES),
        "verdict": _verdict(),
        "waiver": _table(case=_TEXT, metric=_or_null(_TEXT), reason=_TEXT, link=_TEXT, expires={"type": "string", "format": "date"}),
        "metric": _metric(values=_PER_RUN, verdict=_or_null(_ref("cell verdict"))),
        "metric of the fresh session": _metric(values=_PER_RUN),
        "metric of pairs": _metric(candidate=_PER_RUN, control=_PER_RUN),
        "cell verdict": _cell_verdict(),
        "run": _run(),
        "distribution": _table(
            n=_INTEGER,
            mean=_NUMBER,
            sd=_or_null(_NUMBER),
            sd_log=_or_null(_NUMBER),
            minimum=_NUMBER,
            maximum=_NUMBER,
            percentiles=_map(_NUMBER),
        ),
        "confirmation": _table(
            metrics=_list(_ref("metric of the fresh session")), runs=_list(_ref("run")), discarded=_list(_ref("run")), problems=_TEXTS
        ),
        "suspicion": _suspicion(),
        **_duet_definitions(),
        **_parity_definitions(),
    }


def _duet_definitions() -> dict[str, Schema]:
    return {
        "duet": _table(
            control=_TEXT,
            layout=_TEXT,
            control_provenance=_map(_TEXT),
            problems=_TEXTS,
            metrics=_list(_ref("metric of pairs")),
            pairs=_list(_ref("pair")),
            discarded=_list(_ref("pair")),
        ),
        "pair": _table(candidate_first=_YES, candidate=_ref("run"), control=_ref("run")),
    }


def _case() -> Schema:
    return _table(
        schema={"const": SCHEMA},
        case_id=_TEXT,
        suite=_TEXT,
        question=_TEXT,
        platform=_TEXT,
        topology=_ref("Topology"),
        traffic=_ref("Traffic"),
        expectation=_ref("expectation"),
        fault=_or_null(_ref("Fault")),
        axes=_map(_TEXT),
        overrides=_TEXTS,
        arm=_or_null(_TEXT),
        node_id=_TEXT,
        part={"type": "integer", "minimum": 1},
        environment=_or_null(_ref("environment")),
        baseline_provenance=_map(_TEXT),
        prior_sd=_map(_NUMBER),
        duet_possible=_YES,
        verdict=_ref("verdict"),
        metrics=_list(_ref("metric")),
        runs=_or_null(_list(_ref("run"))),
        discarded=_or_null(_list(_ref("run"))),
        problems=_or_null(_TEXTS),
        confirmation=_or_null(_ref("confirmation")),
        duet=_or_null(_ref("duet")),
        parity=_or_null(_ref("parity")),
        suspicions=_list(_ref("suspicion")),
        duration_s=_AMOUNT,
        reproduce=_TEXT,
        accept=_TEXT,
        records=_TEXTS,
        logs=_TEXTS,
    )


def _verdict() -> Schema:
    return _table(
        outcome=_OUTCOME,
        reasons=_TEXTS,
        circumstances=_TEXTS,
        compared_with=_or_null(_TEXTS),
        parity=_or_null(_OUTCOME),
        means=_or_null(_one_of(means.value for means in Means)),
        confirmed_by=_TEXT,
        waiver=_or_null(_ref("waiver")),
        expired=_list(_ref("waiver")),
    )


def _metric(**values: Schema) -> Schema:
    return _table(**_CELL, unit=_or_null(_TEXT), direction=_or_null(_DIRECTION), absent=_or_null(_TEXT), **values)


def _cell_verdict() -> Schema:
    return _table(
        outcome=_OUTCOME,
        decisive=_YES,
        tolerance=_NUMBER,
        baseline=_or_null(_NUMBER),
        candidate=_or_null(_NUMBER),
        values=_list(_NUMBER),
        control_values=_list(_NUMBER),
        scale=_one_of(scale.value for scale in Scale),
        delta=_or_null(_NUMBER),
        interval=_or_null({**_list(_NUMBER), "minItems": 2, "maxItems": 2}),
        limit=_or_null(_NUMBER),
        mde=_or_null(_NUMBER),
        p_value=_or_null(_NUMBER),
        run_cv=_or_null(_NUMBER),
        sessions=_INTEGER,
        pairs=_INTEGER,
        underpowered=_YES,
        suspect=_YES,
        history=_list(_NUMBER),
        reasons=_TEXTS,
    )


def _run() -> Schema:
    return _table(
        name=_TEXT,
        requests=_INTEGER,
        errors=_INTEGER,
        error_kinds=_map(_INTEGER),
        duration_s=_AMOUNT,
        certificate=_ref("Certificate"),
        witness=_map(_NUMBER),
        problems=_TEXTS,
        notes=_TEXTS,
        parts=_map({**_list(_NUMBER), "minItems": 2, "maxItems": 2}),
        distributions=_map(_ref("distribution")),
        absent=_list(_table(**_CELL, reason=_TEXT)),
    )


def _suspicion() -> Schema:
    return _table(
        what=_TEXT,
        sentence=_TEXT,
        cell=_or_null(_ref("cell")),
        before=_or_null(_NUMBER),
        now=_or_null(_NUMBER),
        delta=_or_null(_NUMBER),
        name=_or_null(_TEXT),
        text_before=_or_null(_TEXT),
        text_now=_or_null(_TEXT),
    )


def _parity_definitions() -> dict[str, Schema]:
    noise = _or_null(_ref("Nondeterminism"))
    counts = dict.fromkeys(("n", "losses", "gains", "unreadable_reference", "unreadable_candidate"), _INTEGER)
    judged = {"outcome": _OUTCOME, "reasons": _TEXTS}
    return {
        "parity": _table(
            reference=_TEXT,
            **judged,
            accuracy=_or_null(_ref("accuracy")),
            fixed=_or_null(_ref("fixed limits")),
            subjects=_list(_ref("SubjectCounts")),
            texts=_or_null(_ref("texts")),
            discordant=_list(_ref("Discordant")),
            discordant_count=_INTEGER,
            notes=_TEXTS,
            records=_map(_TEXTS),
        ),
        "accuracy": _table(
            **judged,
            **counts,
            limit=_NUMBER,
            **dict.fromkeys(("loss", "upper_bound", "p_value"), _or_null(_NUMBER)),
            n_needed=_or_null(_INTEGER),
            noise=noise,
        ),
        "fixed limits": _table(**judged, overall=_or_null(_NUMBER), subjects=_list(_table(name=_TEXT, loss=_NUMBER))),
        "texts": _table(**judged, n=_INTEGER, differing=_INTEGER, identical=_or_null(_NUMBER), noise=noise, notes=_TEXTS),
    }


# ---- the words of the schema


def _table(**keys: Schema) -> Schema:
    return {"type": "object", "properties": keys, "required": list(keys)}


def _list(entry: Schema) -> Schema:
    return {"type": "array", "items": entry}


def _map(entry: Schema) -> Schema:
    return {"type": "object", "additionalProperties": entry}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(texts: Iterable[str]) -> Schema:
    return {"enum": list(texts)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name.replace(' ', '%20')}"}


_TEXT: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_AMOUNT: Schema = {"type": "number", "minimum": 0}
_YES: Schema = {"type": "boolean"}
_TEXTS = _list(_TEXT)
_PER_RUN = _or_null(_list(_or_null(_NUMBER)))
_CELL: dict[str, Schema] = {"id": _TEXT, "statistic": _TEXT}
_OUTCOME = _one_of(outcome.text for outcome in Outcome)
_DIRECTION = _one_of(direction.value for direction in Direction)


def _image(schema: Schema) -> Schema:
    """What msgspec says of a type, for a writer that leaves no field out."""
    found = {key: entry for key, entry in schema.items() if key not in {"title", "description", "required"}}
    properties = found.get("properties")
    if isinstance(properties, dict):
        found["properties"] = {
            name: {key: entry for key, entry in table.items() if key != "default"} if isinstance(table, dict) else table
            for name, table in properties.items()
        }
        found["required"] = list(properties)
    return found


def _close(schema: object) -> None:
    """No key beyond those that are named, wherever some are."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for entry in schema.values():
            _close(entry)
    elif isinstance(schema, list):
        for entry in schema:
            _close(entry)
