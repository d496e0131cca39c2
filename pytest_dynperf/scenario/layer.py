"""From tables, as TOML gives them, to a checked Layer. Pure: the caller has read the file.

In: the tables ``topology``, ``traffic``, ``axes``, ``expect`` and ``fault``, and where they stand. Out: a Layer, or a ScenarioError that
names file, dotted key, what was found, what is allowed and the nearest known key.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from pytest_dynperf.errors import ScenarioError, nearest
from pytest_dynperf.metrics.catalogue import statistics
from pytest_dynperf.metrics.definition import Cell, Kind
from pytest_dynperf.quantity import Direction
from pytest_dynperf.scenario.expectation import Gate
from pytest_dynperf.scenario.keys import TABLES, Value, accept, find_key
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.scenario import Layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_dynperf.metrics.definition import MetricDefinition
    from pytest_dynperf.scenario.known import Known

LAYER_TABLES = ("topology", "traffic", "axes", "expect", "fault")
_GATE_FLAGS = {"decisive": True, "required": False, "exact": False}
"""Keys of a gate that are true or false, with their defaults."""

_GATE_KEYS = ("metric", "statistic", "tolerance", *_GATE_FLAGS)


def table_at(found: object, *, where: str) -> Mapping[str, object]:
    """``found`` as a table.

    :raises ScenarioError: when something else stands there.
    """
    if not isinstance(found, dict):
        msg = f"{where}: found {found!r}, allowed is a table"
        raise ScenarioError(msg)
    return found


def reject_unknown(names: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Refuses the first of ``names`` that is not in ``known``.

    :raises ScenarioError: names the key, the nearest known one and all known ones.
    """
    known = list(known)
    for name in names:
        if name not in known:
            msg = f"{where}: there is no key {name!r}{nearest(name, known)}; known here: {', '.join(known)}"
            raise ScenarioError(msg)


def read_layer(tables: Mapping[str, object], *, file: str, prefix: str = "", known: Known = BUILT_IN) -> Layer:
    """The layer that ``tables`` describe; ``prefix`` (``platform.mocker.``) is put before the keys in messages.

    :raises ScenarioError: for the first thing that has no meaning.
    """
    reject_unknown(tables, LAYER_TABLES, where=f"{file}: {prefix}".rstrip(".: "))
    values: dict[str, Value] = {}
    gates: tuple[Gate, ...] = ()
    for name in ("topology", "traffic", "expect", "fault"):
        table = dict(table_at(tables.get(name, {}), where=f"{file}: {prefix}{name}"))
        if name == "expect" and "gate" in table:
            gates = _read_gates(table.pop("gate"), where=f"{file}: {prefix}expect.gate", metrics=known.metrics)
        values |= dict(_leaves(table, name, file=file, prefix=prefix, known=known))
    axes_table = dict(table_at(tables.get("axes", {}), where=f"{file}: {prefix}axes"))
    variables_table = table_at(axes_table.pop("environment", {}), where=f"{file}: {prefix}axes.environment")
    axes = dict(_read_axes(axes_table, file=file, prefix=prefix, known=known))
    variables = dict(_read_variables(variables_table, file=file, prefix=prefix))
    for key in axes:
        if key in values:
            msg = f"{file}: {prefix}axes: {key!r} also has the one value {values[key]!r} in the same file; keep one of the two"
            raise ScenarioError(msg)
    return Layer(values=values, axes=axes, axis_variables=variables, gates=gates)


def _leaves(table: Mapping[str, object], name: str, *, file: str, prefix: str, known: Known) -> Iterator[tuple[str, Value]]:
    for part, found in table.items():
        dotted = f"{name}.{part}"
        where = f"{file}: {prefix}{dotted}"
        if dotted in TABLES:
            yield from _leaves(table_at(found, where=where), dotted, file=file, prefix=prefix, known=known)
        else:
            yield dotted, accept(find_key(dotted, where=f"{file}: {prefix}{name}"), found, where=where, known=known)


def _dotted(table: Mapping[str, object], name: str = "") -> Iterator[tuple[str, object]]:
    """``traffic.concurrency`` without quotes is a table in a table to TOML; it means the same key."""
    for part, found in table.items():
        if isinstance(found, dict):
            yield from _dotted(found, f"{name}{part}.")
        else:
            yield f"{name}{part}", found


def _read_axes(table: Mapping[str, object], *, file: str, prefix: str, known: Known) -> Iterator[tuple[str, tuple[Value, ...]]]:
    for name, found in _dotted(table):
        where = f"{file}: {prefix}axes: {name!r}"
        key = find_key(name, where=f"{file}: {prefix}axes")
        if name.startswith("expect."):
            msg = f"{where}: an axis is a key of topology, traffic or fault"
            raise ScenarioError(msg)
        if not isinstance(found, list) or not found:
            msg = f"{where}: found {found!r}, allowed is a list, each item {key.allowed}"
            raise ScenarioError(msg)
        values = tuple(accept(key, item, where=f"{where}[{index}]", known=known) for index, item in enumerate(found))
        for index, value in enumerate(values):
            if value in values[:index]:
                msg = f"{where}: {value!r} stands there twice; each value makes one case"
                raise ScenarioError(msg)
        yield name, values


def _read_variables(table: Mapping[str, object], *, file: str, prefix: str) -> Iterator[tuple[str, str]]:
    for name, found in _dotted(table):
        find_key(name, where=f"{file}: {prefix}axes.environment")
        if not isinstance(found, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", found):
            msg = f"{file}: {prefix}axes.environment: {name!r}: found {found!r}, allowed is the name of an environment variable"
            raise ScenarioError(msg)
        yield name, found


def _read_gates(found: object, *, where: str, metrics: Mapping[str, MetricDefinition]) -> tuple[Gate, ...]:
    if not isinstance(found, list) or not found:
        msg = f"{where}: found {found!r}, allowed are tables [[expect.gate]] with {', '.join(_GATE_KEYS)}"
        raise ScenarioError(msg)
    places = [f"{where}[{index}]" for index in range(len(found))]
    gates = tuple(_read_gate(table_at(item, where=at), where=at, metrics=metrics) for at, item in zip(places, found, strict=True))
    for index, gate in enumerate(gates):
        if any(gate.cell == other.cell for other in gates[:index]):
            msg = f"{where}[{index}]: {gate.cell} has a gate already; a cell has one tolerance"
            raise ScenarioError(msg)
    return gates


def _read_gate(table: Mapping[str, object], *, where: str, metrics: Mapping[str, MetricDefinition]) -> Gate:
    reject_unknown(table, _GATE_KEYS, where=where)
    for name in _GATE_KEYS[:3]:
        if name not in table:
            msg = f"{where}: {name} is missing; a gate says {', '.join(_GATE_KEYS[:3])}"
            raise ScenarioError(msg)
    metric, statistic, tolerance = (table[name] for name in _GATE_KEYS[:3])
    flags = {name: table.get(name, default) for name, default in _GATE_FLAGS.items()}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            msg = f"{where}.{name}: found {flag!r}, allowed is true or false"
            raise ScenarioError(msg)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not math.isfinite(tolerance) or not 0 < tolerance < 1:
        msg = f"{where}.tolerance: found {tolerance!r}, allowed is a fraction above 0 and below 1 (0.03 is 3 %)"
        raise ScenarioError(msg)
    exact = flags["exact"] is True
    return Gate(
        cell=_read_cell(metric, statistic, exact=exact, where=where, metrics=metrics),
        tolerance=float(tolerance),
        decisive=flags["decisive"] is True,
        required=flags["required"] is True,
        exact=exact,
    )


def _read_cell(metric: object, statistic: object, *, exact: bool, where: str, metrics: Mapping[str, MetricDefinition]) -> Cell:
    if not isinstance(metric, str) or metric not in metrics:
        hint = nearest(metric, metrics) if isinstance(metric, str) else ""
        msg = f"{where}.metric: there is no metric {metric!r}{hint}; known: {', '.join(sorted(metrics))}"
        raise ScenarioError(msg)
    definition = metrics[metric]
    if exact and definition.kind is not Kind.COUNT:
        counts = ", ".join(repr(name) for name, other in metrics.items() if other.kind is Kind.COUNT)
        msg = f"{where}.exact: {metric!r} is no count, and only a count can be the same in every run; counts are {counts}"
        raise ScenarioError(msg)
    if definition.direction is Direction.NEITHER and not exact:
        remedy = (
            "say exact = true (the same in every run), or gate another metric" if definition.kind is Kind.COUNT else "gate another metric"
        )
        msg = f"{where}.metric: {metric!r} is a fact without a better and a worse, so it cannot be gated; {remedy}"
        raise ScenarioError(msg)
    known = statistics(definition)
    if not isinstance(statistic, str) or statistic not in known:
        hint = nearest(statistic, known) if isinstance(statistic, str) else ""
        msg = f"{where}.statistic: found {statistic!r} for {metric}, allowed is one of {', '.join(map(repr, known))}{hint}"
        raise ScenarioError(msg)
    return Cell(metric, statistic)
