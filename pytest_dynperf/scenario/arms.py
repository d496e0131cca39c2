"""The arms of a scenario: the sides of an on/off question, each a layer over everything else. Pure.

In: the tables ``[arms.NAME]``, ``[platform.PLATFORM.arms.NAME]`` and the merged values of the scenario. Out: the arms in their order, and
per point of the axes what is wrong with them: arms that differ in nothing, or in what they are asked, say nothing about each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from pytest_dynperf.errors import ScenarioError, nearest
from pytest_dynperf.scenario.known import BUILT_IN
from pytest_dynperf.scenario.layer import read_layer, reject_unknown, table_at
from pytest_dynperf.scenario.override import apply_override
from pytest_dynperf.scenario.traffic import ITEM_KINDS, WORKLOADS, Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.expectation import Gate
    from pytest_dynperf.scenario.keys import Value
    from pytest_dynperf.scenario.known import Known
    from pytest_dynperf.scenario.override import Override
    from pytest_dynperf.scenario.scenario import Layer, Scenario

ARMS = "arms"

_TABLES = ("topology", "traffic", "expect", "fault")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_PARITY = "expect.parity."
_MAY_DIFFER = frozenset({"cache", "keep_text", "runs", "request_timeout_s", "inter_token_timeout_s", "max_failures_in_a_row"})
"""Keys of ``traffic`` that do not change what is asked."""


@dataclass(slots=True, kw_only=True)
class Arm:
    """What one arm states beside what all have. Empty ``gates``: those of all."""

    values: dict[str, Value] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()


def read_arms(found: object, *, file: str, prefix: str = "", known: Known = BUILT_IN) -> dict[str, Layer]:
    """The layers of the table ``arms``, in the order of the file; ``prefix`` (``platform.mocker.``) stands before it in messages.

    :raises ScenarioError: for the first thing that has no meaning: a name that no case id can hold, an unknown key, an axis, parity.
    """
    layers = {}
    for name, table in table_at(found, where=f"{file}: {prefix}{ARMS}").items():
        where = f"{file}: {prefix}{ARMS}.{name}"
        if not _NAME.fullmatch(name):
            msg = f"{file}: {prefix}{ARMS}: found {name!r}, allowed is a name of letters, digits, '.' and '-': case ids end in it"
            raise ScenarioError(msg)
        tables = table_at(table, where=where)
        reject_unknown(tables, _TABLES, where=where)
        layer = read_layer(tables, file=file, prefix=f"{prefix}{ARMS}.{name}.", known=known)
        if any(key.startswith(_PARITY) for key in layer.values):
            msg = f"{where}.expect.parity: parity is between the arms, not of one: write [expect.parity] beside [{ARMS}]"
            raise ScenarioError(msg)
        layers[name] = layer
    return layers


def reject_strangers(arms: Mapping[str, Layer], on_platforms: Mapping[str, Mapping[str, Layer]], *, file: str) -> None:
    """What is different on a platform must be different in an arm that there is.

    :raises ScenarioError: names the nearest arm.
    """
    for platform, layers in on_platforms.items():
        for name in layers:
            if name not in arms:
                known = f"known here: {', '.join(arms)}" if arms else f"there is no [{ARMS}.NAME] in this file"
                msg = f"{file}: platform.{platform}.{ARMS}: there is no arm {name!r}{nearest(name, arms)}; {known}"
                raise ScenarioError(msg)


def arms_of(scenario: Scenario, platform: str) -> dict[str, Arm]:
    """The arms of ``scenario`` on ``platform``, in the order of the file. Empty where it has none."""
    found = {name: Arm(values=dict(layer.values), gates=layer.gates) for name, layer in scenario.arms.items()}
    for name, layer in scenario.platform_arms.get(platform, {}).items():
        found[name].values |= layer.values
        found[name].gates = layer.gates or found[name].gates
    return found


def override_arms(override: Override, arms: Mapping[str, Arm], *, known: Known = BUILT_IN) -> bool:
    """Apply an override to the arms that state its key themselves; whether what all have is still to be overridden.

    Arguments are appended on every side. Any other key that an arm states is changed there, and only there.

    :raises ScenarioError: when the text does not fit the key.
    """
    stating = [arm for arm in arms.values() if override.key.name in arm.values]
    for arm in stating:
        apply_override(override, arm.values, {}, known=known)
    return override.key.is_arguments or not stating


def reject_flaws(scenario: Scenario, arms: Mapping[str, Arm], values: Mapping[str, Value], axes: Mapping[str, tuple[Value, ...]]) -> None:
    """What is wrong with the arms at every point: how many there are, which the reference is, a key that is an axis.

    :raises ScenarioError: for the first of them.
    """
    text = _number_flaw(scenario, arms, values) or _reference_flaw(arms, values) or _axis_flaw(arms, axes)
    if text is not None:
        msg = f"{scenario.file}: {text}"
        raise ScenarioError(msg)


def _number_flaw(scenario: Scenario, arms: Mapping[str, Arm], values: Mapping[str, Value]) -> str | None:
    if not arms:
        if any(key.startswith(_PARITY) for key in values):
            return f"expect.parity: it compares arms, and there is none; add a table [{ARMS}.NAME] for each side, or remove it"
        return None
    if len(arms) == 1:
        return f"{ARMS}: found one, {next(iter(scenario.arms))!r}; an on/off question has two arms or more, else it needs none"
    return None


def _reference_flaw(arms: Mapping[str, Arm], values: Mapping[str, Value]) -> str | None:
    stated = [key for key in values if key.startswith(_PARITY)]
    if not stated:
        return None
    reference, noise = values.get(f"{_PARITY}reference"), values.get(f"{_PARITY}noise")
    if reference is None:
        return f"expect.parity.reference is missing beside {', '.join(sorted(stated))}; allowed is one of {_listed(arms)}"
    for key, name in (("reference", reference), ("noise", noise)):
        if name is not None and name not in arms:
            return f"expect.parity.{key}: there is no arm {name!r}{nearest(str(name), arms)}; allowed is one of {_listed(arms)}"
    if noise == reference:
        return f"expect.parity.noise: found {noise!r}, which is the reference; noise is a second arm that differs from it in nothing"
    if not set(arms) - {reference, noise}:
        return f"expect.parity: beside the reference {reference!r} and the noise {noise!r} there is no arm that would be held against them"
    return None


def _axis_flaw(arms: Mapping[str, Arm], axes: Mapping[str, tuple[Value, ...]]) -> str | None:
    for name, arm in arms.items():
        for key in arm.values:
            if key in axes:
                return f"{ARMS}.{name}: {key!r} is an axis, and each arm is measured at every point of the axes; keep one of the two"
    return None


def related(cases: Sequence[Case]) -> list[Case]:
    """The arms of one point, each that is held against the reference with the cases that this takes.

    :raises ScenarioError: where comparing them would say nothing; without the file's name.
    """
    by_arm = {case.arm: case for case in cases}
    parity = cases[0].expectation.parity
    if parity.reference is None:
        return list(cases)
    reference, noise = by_arm[parity.reference], None if parity.noise is None else by_arm[parity.noise]
    for case in cases:
        if case is not reference and (text := _flaw_beside(case, reference) or _skip_flaw(case, reference, noise)) is not None:
            raise ScenarioError(text)
    if parity.texts:
        cases, reference = [_keeping_texts(case) for case in cases], _keeping_texts(reference)
        noise = None if noise is None else _keeping_texts(noise)
    return [replace(case, reference=reference, noise=noise) if parity.judges(case.arm) else case for case in cases]


def _keeping_texts(case: Case) -> Case:
    """What is to be compared must be there."""
    return replace(case, traffic=replace(case.traffic, keep_text=True))


def _flaw_beside(case: Case, reference: Case) -> str | None:
    parity = case.expectation.parity
    same = (case.topology, case.traffic, case.fault) == (reference.topology, reference.traffic, reference.fault)
    if case.arm == parity.noise and not same:
        return f"expect.parity.noise: the arm {case.arm!r} must be the reference {reference.arm!r} once more, and differs from it"
    if case.arm != parity.noise and same:
        return (
            f"{ARMS}.{case.arm}: it differs in nothing from the reference {reference.arm!r}, so that parity would hold whatever is broken; "
            f"say what is different, or expect.parity.noise = {case.arm!r}"
        )
    ours, theirs = case.traffic, reference.traffic
    names = [
        item.name for item in fields(Traffic) if item.name not in _MAY_DIFFER and getattr(ours, item.name) != getattr(theirs, item.name)
    ]
    if names:
        return (
            f"{ARMS}.{case.arm}: traffic.{names[0]} is {getattr(ours, names[0])!r}, in the reference {reference.arm!r} "
            f"{getattr(theirs, names[0])!r}: parity needs arms that are asked the same; only traffic.cache may differ"
        )
    if not parity.texts and ours.workload.kind in WORKLOADS and ours.workload.kind not in ITEM_KINDS:
        return (
            f"expect.parity: nothing would be compared, since requests of traffic.workload.kind = {ours.workload.kind!r} have no known "
            f"answer; compare texts (expect.parity.texts = true), or ask questions ({', '.join(map(repr, sorted(ITEM_KINDS)))})"
        )
    if parity.texts and ours.temperature != 0:
        return "expect.parity.texts: texts repeat only where nothing is drawn by chance; set traffic.temperature = 0"
    return None


def _skip_flaw(case: Case, reference: Case, noise: Case | None) -> str | None:
    """An arm that is measured is not held against one that never is."""
    if case.skip is not None or not case.expectation.parity.judges(case.arm):
        return None
    for key, other in (("reference", reference), ("noise", noise)):
        if other is not None and other.skip is not None:
            return (
                f"expect.parity.{key}: the arm {other.arm!r} is skipped on {case.platform} ({other.skip}), and {case.arm!r}, which is held "
                f"against it, is not: skip {ARMS}.{case.arm} there too, or measure {other.arm!r}"
            )
    return None


def _listed(arms: Mapping[str, Arm]) -> str:
    return ", ".join(map(repr, arms))
