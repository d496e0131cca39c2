"""``session.json`` of an older schema as one of the newest: in memory, on reading. Files stay as they were written.

Schema 1 had no definitions, pairs of runs, parts of rates, waivers, suspicions and annotations, and ``confirmed`` in place of ``means``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.report.plain import take, take_all, take_optional, take_table
from pytest_dynperf.verdict.verdict import Means, Scale

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 2

Table = dict[str, object]


def migrated_session(encoded: Mapping[str, object]) -> Mapping[str, object]:
    """With the keys of schema 2; ``encoded`` itself where it has that schema. Its cases keep theirs: see :func:`migrated_case`.

    :raises UsageError: when ``schema`` is missing or of another type.
    """
    if take(encoded, "schema", int) != 1:
        return encoded
    return {**encoded, "schema": SCHEMA, "annotations": None, "definitions": []}


def migrated_case(encoded: Mapping[str, object]) -> Mapping[str, object]:
    """With the keys of schema 2; ``encoded`` itself where it has that schema.

    :raises UsageError: when a key that must be understood here is missing or of another type.
    """
    if take(encoded, "schema", int) != 1:
        return encoded
    added: Table = {"schema": SCHEMA, "definitions": [], "prior_sd": {}, "duet_possible": False, "duet": None, "suspicions": []}
    expectation = take_table(encoded, "expectation")
    gates = [{**gate, "required": False, "exact": False} for gate in take_all(expectation, "gates", dict)]
    confirmation = take_optional(encoded, "confirmation", dict)
    return {
        **encoded,
        **added,
        "expectation": {**expectation, "gates": gates},
        "verdict": _verdict(take_table(encoded, "verdict")),
        "metrics": [_metric(metric) for metric in take_all(encoded, "metrics", dict)],
        **_runs(encoded),
        "confirmation": None if confirmation is None else {**confirmation, **_runs(confirmation)},
    }


def _verdict(verdict: Mapping[str, object]) -> Table:
    decided = Means.FRESH_SESSION.value if verdict.get("confirmed") is True else None
    return {"means": decided, **verdict, "waiver": None, "expired": []}


def _metric(metric: Mapping[str, object]) -> Table:
    verdict = metric.get("verdict")
    if not isinstance(verdict, dict):
        return dict(metric)
    return {**metric, "verdict": {**verdict, "scale": Scale.LOG.value, "pairs": 0, "control_values": []}}


def _runs(table: Mapping[str, object]) -> Table:
    found: Table = {}
    for key in ("runs", "discarded"):
        found[key] = None if table.get(key) is None else [{**run, "parts": {}} for run in take_all(table, key, dict)]
    return found
