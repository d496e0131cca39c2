"""A document of an older schema as one of the newest: in memory, on reading. Files stay as they were accepted: history is not rewritten.

Schema 1 had ``units`` in place of ``metrics``, and no parts of rates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.baseline.strict_json import Flaw, expect_keys, texts_at
from pytest_dynperf.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS_1 = ("case_id", "environment", "epoch", "key", "provenance", "reason", "runs", "schema", "session_id", "stamp", "suite", "units")


def migrated(table: Mapping[str, object], schema: int) -> Mapping[str, object]:
    """The keys and values of the newest schema; ``table`` itself where it has it already.

    :raises Flaw: for a schema that never was, and for a table that is not of its schema as far as it must be understood here.
    """
    if schema == 0:
        msg = "schema 0 does not exist"
        raise Flaw(msg)
    return _from_1(table) if schema == 1 else table


def _from_1(table: Mapping[str, object]) -> dict[str, object]:
    expect_keys(table, _KEYS_1, "the document (schema 1)")
    runs = table["runs"]
    entries = runs if isinstance(runs, list) else []
    if any(isinstance(run, dict) and "parts" in run for run in entries):
        msg = "a run has 'parts', which schema 1 does not know"
        raise Flaw(msg)
    rest = {name: value for name, value in table.items() if name != "units"}
    return {
        **rest,
        "metrics": {metric: _metric(metric, unit) for metric, unit in texts_at(table, "units", "the document").items()},
        "runs": [{**run, "parts": {}} if isinstance(run, dict) else run for run in entries] if isinstance(runs, list) else runs,
    }


def _metric(metric: str, unit: str) -> dict[str, object]:
    known = CATALOGUE.get(metric)
    return {
        "unit": unit,
        "direction": known.direction.value if known is not None else None,
        "kind": known.kind.value if known is not None else None,
    }
