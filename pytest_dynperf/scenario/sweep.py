"""From a scenario on a platform to its cases. Pure: files and environment variables arrive as arguments.

Later wins: scenario < platform file < the scenario's ``[platform.NAME]`` < environment variables of axes < overrides. A single value for
what an earlier layer made an axis narrows the axis to that value.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.fault import NOTHING, Fault
from pytest_dynperf.scenario.fault import flaw as fault_flaw
from pytest_dynperf.scenario.keys import KEYS, Value, read_list
from pytest_dynperf.scenario.layer import read_layer
from pytest_dynperf.scenario.override import apply_override, parse_override
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic, flaw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.expectation import Gate
    from pytest_dynperf.scenario.platform import Platform
    from pytest_dynperf.scenario.scenario import Layer, Scenario

_ALWAYS_IN_ID = (
    "topology.mode",
    "traffic.isl",
    "traffic.osl",
    "traffic.concurrency",
    "traffic.arrival.process",
    "traffic.arrival.rate_per_s",
    "traffic.arrival.min_rate_per_s",
    "traffic.arrival.max_rate_per_s",
    "fault.inject",
)
_Built = TypeVar("_Built", Topology, Traffic, Expectation, Fault)


@dataclass(slots=True, kw_only=True)
class _Merged:
    values: dict[str, Value] = field(default_factory=dict)
    axes: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


def expand(
    scenario: Scenario, platform: Platform, *, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[Case, ...]:
    """Every combination of the axes, in declared order, then grouped so that cases of one deployment follow each other.

    Case ids are ``MODE-islN-oslN-LOAD`` (``c64``, ``poisson-10``), ``-NAMEVALUE`` for each further axis, and the fault (``-kill-worker``).

    :raises ScenarioError: bad override or environment variable, a required key that nothing sets, no decisive gate, equal case ids.
    """
    merged = _Merged()
    for layer in (scenario.layer, read_layer(platform.defaults, file=platform.file), scenario.platforms.get(platform.name)):
        if layer is not None:
            _merge(merged, layer)
    for name, variable in merged.variables.items():
        if environ is not None and variable in environ:
            merged.axes[name] = read_list(KEYS[name], environ[variable], where=f"environment variable {variable}={environ[variable]!r}")
            merged.values.pop(name, None)
    for option in overrides:
        apply_override(parse_override(option), merged.values, merged.axes)
    _require(scenario, platform, merged)
    cases = [
        _case(scenario, platform, merged, dict(zip(merged.axes, combination, strict=True)), tuple(overrides))
        for combination in itertools.product(*merged.axes.values())
    ]
    _reject_equal_ids(scenario, cases)
    first_seen: dict[str, int] = {}
    for case in cases:
        first_seen.setdefault(case.topology.deployment_key, len(first_seen))
    return tuple(sorted(cases, key=lambda case: first_seen[case.topology.deployment_key]))


def _merge(merged: _Merged, layer: Layer) -> None:
    merged.variables |= layer.axis_variables
    for name, value in layer.values.items():
        if name in merged.axes:
            merged.axes[name] = (value,)
        else:
            merged.values[name] = value
    for name, values in layer.axes.items():
        merged.axes[name] = values
        merged.values.pop(name, None)
    merged.gates = layer.gates or merged.gates


def _require(scenario: Scenario, platform: Platform, merged: _Merged) -> None:
    for key in KEYS.values():
        if key.required and key.name not in merged.values and key.name not in merged.axes:
            msg = f"{scenario.file}: {key.name} is missing: neither this file nor {platform.file} sets it; allowed is {key.allowed}"
            raise ScenarioError(msg)
    if not any(gate.decisive for gate in merged.gates):
        msg = f"{scenario.file}: expect.gate: no gate is decisive, so no case could ever fail; add one [[expect.gate]]"
        raise ScenarioError(msg)


def _case(scenario: Scenario, platform: Platform, merged: _Merged, point: Mapping[str, Value], overrides: tuple[str, ...]) -> Case:
    values = merged.values | dict(point)
    topology = _built(Topology, "topology", values)
    traffic = _built(Traffic, "traffic", values)
    fault = _built(Fault, "fault", values)
    if (problem := flaw(traffic) or fault_flaw(fault, topology)) is not None:
        msg = f"{scenario.file}, with {platform.file}: {problem}"
        raise ScenarioError(msg)
    parts = [topology.mode, f"isl{traffic.isl}", f"osl{traffic.osl}", traffic.load_name]
    parts += [name.rsplit(".", 1)[-1] + _slug(value) for name, value in point.items() if name not in _ALWAYS_IN_ID]
    if fault.inject != NOTHING:
        parts.append(fault.name)
    return Case(
        suite=scenario.suite,
        case_id="-".join(parts),
        question=scenario.question,
        platform=platform.name,
        topology=topology,
        traffic=traffic,
        expectation=_built(Expectation, "expect", values, gates=merged.gates),
        axes=tuple((name, _text(value)) for name, value in point.items()),
        overrides=overrides,
        directory=str(PurePath(scenario.file).parent),
        fault=None if fault.inject == NOTHING else fault,
    )


def _built(cls: type[_Built], prefix: str, values: Mapping[str, Value], **given: object) -> _Built:
    arguments: dict[str, object] = dict(given)
    for item in fields(cls):
        name = f"{prefix}.{item.name}"
        if name in values:
            arguments[item.name] = values[name]
        elif is_dataclass(item.default) and not isinstance(item.default, type):
            inner = {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
            arguments[item.name] = replace(item.default, **inner)
    return cls(**arguments)  # type: ignore[arg-type]  # each value was checked against the field's type in keys.py


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _slug(value: Value) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", _text(value)).strip("-")


def _reject_equal_ids(scenario: Scenario, cases: Sequence[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        other = seen.setdefault(case.case_id, case)
        if other is not case:
            msg = f"{scenario.file}: axes: two cases would be called {case.case_id!r}: {_point(other)} and {_point(case)}; change the axes"
            raise ScenarioError(msg)


def _point(case: Case) -> str:
    return ", ".join(f"{name}={value}" for name, value in case.axes)
