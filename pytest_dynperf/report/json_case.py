"""What was asked (case, topology, traffic, expectation) as plain JSON types: the first part of a case in ``session.json``."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.report.json_measurement import decode_cell
from pytest_dynperf.report.plain import plain_value, repeated, take, take_all, take_map, take_optional, take_table, take_value
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import NO_PARITY, Expectation, Gate, Parity
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping


BOUNDS = tuple(field.name for field in fields(Expectation) if field.type == "float")
"""The bounds of validity: the plain numbers of an expectation."""
_LATER = frozenset({"min_active_share"})
"""Sessions of before have no such key."""


def encode_case(case: Case) -> dict[str, object]:
    """The keys ``case_id`` to ``arm``. The cases of other arms stand for themselves."""
    return {
        "case_id": case.case_id,
        "suite": case.suite,
        "question": case.question,
        "platform": case.platform,
        "topology": plain_value(case.topology),
        "traffic": plain_value(case.traffic),
        "expectation": _encode_expectation(case.expectation),
        "fault": None if case.fault is None else plain_value(case.fault),
        "axes": dict(case.axes),
        "overrides": list(case.overrides),
        "arm": case.arm,
    }


def decode_case(table: Mapping[str, object]) -> Case:
    """The case that the keys ``case_id`` to ``arm`` describe.

    :raises UsageError: when a key is missing or of another type.
    """
    return Case(
        suite=take(table, "suite", str),
        case_id=take(table, "case_id", str),
        question=take(table, "question", str),
        platform=take(table, "platform", str),
        topology=take_value(table, "topology", Topology),
        traffic=take_value(table, "traffic", Traffic),
        expectation=_decode_expectation(take_table(table, "expectation")),
        fault=None if table.get("fault") is None else take_value(table, "fault", Fault),  # sessions of before have no such key
        axes=tuple(take_map(table, "axes", str).items()),
        overrides=take_all(table, "overrides", str),
        arm=take_optional(table, "arm", str) if "arm" in table else None,
    )


def _encode_expectation(expectation: Expectation) -> dict[str, object]:
    return {
        "gates": [_encode_gate(gate) for gate in expectation.gates],
        **{name: getattr(expectation, name) for name in BOUNDS},
        "objectives": plain_value(expectation.objectives),
        "parity": plain_value(expectation.parity),
    }


def _encode_gate(gate: Gate) -> dict[str, object]:
    return {
        "id": gate.cell.metric,
        "statistic": gate.cell.statistic,
        "tolerance": gate.tolerance,
        "decisive": gate.decisive,
        "required": gate.required,
        "exact": gate.exact,
    }


def _decode_gate(table: Mapping[str, object]) -> Gate:
    cell, tolerance, exact = decode_cell(table), take(table, "tolerance", float), take(table, "exact", bool)
    if not (tolerance > 0 or (exact and tolerance == 0)) or not math.isfinite(tolerance):
        msg = f"key 'tolerance' of the gate on {cell}: found {tolerance}, allowed is a fraction above 0 (0.03 is 3 %)"
        raise UsageError(msg)
    return Gate(
        cell=cell,
        tolerance=tolerance,
        decisive=take(table, "decisive", bool),
        required=take(table, "required", bool),
        exact=exact,
    )


def _decode_expectation(table: Mapping[str, object]) -> Expectation:
    gates = tuple(_decode_gate(gate) for gate in take_all(table, "gates", dict))
    if (twice := repeated(gate.cell for gate in gates)) is not None:
        msg = f"key 'gates': {twice} stands there twice, and a cell has one tolerance"
        raise UsageError(msg)
    return Expectation(
        gates=gates,
        **{name: take(table, name, float) for name in BOUNDS if name in table or name not in _LATER},
        objectives=take_value(table, "objectives", Objectives),
        parity=take_value(table, "parity", Parity) if "parity" in table else NO_PARITY,
    )
