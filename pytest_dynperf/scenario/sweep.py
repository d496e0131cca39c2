"""From a scenario on a platform to its cases. Pure: files and environment variables arrive as arguments.

Later wins: scenario < platform file < the scenario's ``[platform.NAME]`` < environment variables of axes < the arm < overrides. A single
value for what an earlier layer made an axis narrows the axis to that value.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.arms import Arm, arms_of, override_arms, reject_flaws, related
from pytest_dynperf.scenario.case import AXIS, Case
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.fault import NOTHING, Fault
from pytest_dynperf.scenario.fault import flaw as fault_flaw
from pytest_dynperf.scenario.keys import KEYS, Value, read_list
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.layer import read_layer
from pytest_dynperf.scenario.override import apply_override, parse_override
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic, cache_flaw, flaw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.expectation import Gate
    from pytest_dynperf.scenario.known import Known
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
    scenario: Scenario
    platform: Platform
    overrides: tuple[str, ...]
    values: dict[str, Value] = field(default_factory=dict)
    axes: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


def expand(
    scenario: Scenario,
    platform: Platform,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    known: Known = BUILT_IN,
) -> tuple[Case, ...]:
    """Every combination of the axes, in declared order, with every arm, then grouped so that cases of one deployment follow each other.

    Case ids are ``MODE-islN-oslN-LOAD`` (``c64``, ``poisson-10``), ``-NAMEVALUE`` for each further axis, the fault (``-kill-worker``), and
    the arm (``-warm``).

    :raises ScenarioError: bad override or environment variable, a required key that nothing sets, no decisive gate, equal case ids, arms
        that say nothing about each other.
    """
    merged = _Merged(scenario=scenario, platform=platform, overrides=tuple(overrides))
    for layer in (scenario.layer, read_layer(platform.defaults, file=platform.file, known=known), scenario.platforms.get(platform.name)):
        if layer is not None:
            _merge(merged, layer)
    for name, variable in merged.variables.items():
        if environ is not None and variable in environ:
            where = f"environment variable {variable}={environ[variable]!r}"
            merged.axes[name] = read_list(KEYS[name], environ[variable], where=where, known=known)
            merged.values.pop(name, None)
    arms = arms_of(scenario, platform.name)
    for option in overrides:
        override = parse_override(option)
        if override_arms(override, arms, known=known):
            apply_override(override, merged.values, merged.axes, known=known)
    reject_flaws(scenario, arms, merged.values, merged.axes)
    for arm in arms.values() or [Arm()]:
        _require(merged, arm)
    cases = [
        case
        for combination in itertools.product(*merged.axes.values())
        for case in _cases(merged, dict(zip(merged.axes, combination, strict=True)), arms)
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


def _require(merged: _Merged, arm: Arm) -> None:
    file = merged.scenario.file
    for key in KEYS.values():
        if key.required and not any(key.name in stated for stated in (merged.values, merged.axes, arm.values)):
            msg = f"{file}: {key.name} is missing: neither this file nor {merged.platform.file} sets it; allowed is {key.allowed}"
            raise ScenarioError(msg)
    if not any(gate.decisive for gate in arm.gates or merged.gates):
        msg = f"{file}: expect.gate: no gate is decisive, so no case could ever fail; add one [[expect.gate]]"
        raise ScenarioError(msg)


def _cases(merged: _Merged, point: Mapping[str, Value], arms: Mapping[str, Arm]) -> list[Case]:
    """The case of one point, or those of its arms."""
    if not arms:
        return [_case(merged, point)]
    cases = [_case(merged, point, name, arm) for name, arm in arms.items()]
    try:
        return related(cases)
    except ScenarioError as error:
        msg = f"{merged.scenario.file}, with {merged.platform.file}: {error}"
        raise ScenarioError(msg) from None


def _case(merged: _Merged, point: Mapping[str, Value], name: str | None = None, arm: Arm | None = None) -> Case:
    scenario, platform = merged.scenario, merged.platform
    arm = arm or Arm()
    values = merged.values | dict(point) | arm.values
    topology = _built(Topology, "topology", values)
    traffic = _built(Traffic, "traffic", values)
    fault = _built(Fault, "fault", values)
    if (problem := flaw(traffic) or fault_flaw(fault, topology) or cache_flaw(traffic, topology)) is not None:
        where = f"{scenario.file}, with {platform.file}" + ("" if name is None else f", in the arm {name!r}")
        msg = f"{where}: {problem}"
        raise ScenarioError(msg)
    parts = [topology.mode, f"isl{traffic.isl}", f"osl{traffic.osl}", traffic.load_name]
    parts += [key.rsplit(".", 1)[-1] + _slug(value) for key, value in point.items() if key not in _ALWAYS_IN_ID]
    if fault.inject != NOTHING:
        parts.append(fault.name)
    if name is not None:
        parts.append(name)
    return Case(
        suite=scenario.suite,
        case_id="-".join(parts),
        question=scenario.question,
        platform=platform.name,
        topology=topology,
        traffic=traffic,
        expectation=_built(Expectation, "expect", values, gates=arm.gates or merged.gates),
        axes=(*((key, _text(value)) for key, value in point.items()), *(((AXIS, name),) if name is not None else ())),
        overrides=merged.overrides,
        directory=str(PurePath(scenario.file).parent),
        fault=None if fault.inject == NOTHING else fault,
        skip=scenario.skips.get(platform.name) or scenario.skips.get(f"{platform.name}.arms.{name}"),
        arm=name,
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
