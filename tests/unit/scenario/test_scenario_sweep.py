"""What wins over what, what the cases are called, and in which order they come."""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Gate
from pytest_dynperf.scenario.keys import KEYS, Value
from pytest_dynperf.scenario.platform import Platform
from pytest_dynperf.scenario.scenario import Layer, Scenario
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.traffic import Traffic, Workload

if TYPE_CHECKING:
    from collections.abc import Mapping

GATE = Gate(cell=Cell("output_token_throughput.v1", "value"), tolerance=0.03)
OTHER_GATE = Gate(cell=Cell("time_to_first_token.v1", "p50"), tolerance=0.05)
VALUES: Mapping[str, Value] = {
    "topology.engine": "mocker",
    "topology.model": "m",
    "traffic.isl": 256,
    "traffic.osl": 32,
    "traffic.concurrency": 4,
}


ELSEWHERE = ("traffic.concurrency", "expect.parity.")
"""A closed loop has the one, a scenario with arms the other."""


def scenario(
    values: Mapping[str, Value] | None = None,
    *,
    axes: Mapping[str, tuple[Value, ...]] | None = None,
    variables: Mapping[str, str] | None = None,
    gates: tuple[Gate, ...] = (GATE,),
    platforms: Mapping[str, Layer] | None = None,
) -> Scenario:
    merged = {**VALUES, **(values or {})}
    return Scenario(
        suite="sweep",
        file="sweep/scenario.toml",
        question="How fast?",
        layer=Layer(
            values={name: value for name, value in merged.items() if name not in (axes or {})},
            axes=axes or {},
            axis_variables=variables or {},
            gates=gates,
        ),
        platforms=platforms or {},
    )


def platform(defaults: Mapping[str, object] | None = None) -> Platform:
    return Platform(
        name="mocker",
        summary="no GPU",
        file="platforms/mocker.toml",
        gpu_pattern="",
        gpu_count=0,
        gpu_memory_gib=0.0,
        launcher="process",
        simulated=True,
        verified=True,
        defaults=defaults or {},
    )


def test_one_case_with_everything_in_it() -> None:
    (case,) = expand(scenario({"topology.worker.count": 2, "expect.max_error_share": 0.1}), platform())
    assert (case.suite, case.case_id, case.name) == ("sweep", "agg-isl256-osl32-c4", "sweep/agg-isl256-osl32-c4")
    assert (case.question, case.platform) == ("How fast?", "mocker")
    assert (case.topology.worker.count, case.topology.worker.args, case.topology.prefill.count) == (2, (), 1)
    assert case.expectation.max_error_share == 0.1
    assert case.expectation.gates == (GATE,)
    assert case.axes == ()


def test_the_later_layer_wins_step_by_step() -> None:
    """Each source in turn sets what all earlier ones have set."""
    concurrency = "traffic.concurrency"
    subject = scenario(
        axes={concurrency: (1, 2)},
        variables={concurrency: "CONCURRENCIES"},
        platforms={"mocker": Layer(axes={concurrency: (5,)}), "h100": Layer(axes={concurrency: (9,)})},
    )
    without = scenario(axes={concurrency: (1, 2)})
    tables = {"axes": {concurrency: [3, 4]}}

    def levels(*arguments: object, **options: object) -> list[int]:
        return [case.traffic.slots for case in expand(*arguments, **options)]  # type: ignore[arg-type]

    assert levels(without, platform()) == [1, 2]
    assert levels(without, platform(tables)) == [3, 4]
    assert levels(subject, platform(tables)) == [5]
    assert levels(subject, platform(tables), environ={"CONCURRENCIES": "6"}) == [6]
    assert levels(subject, platform(tables), environ={"CONCURRENCIES": "6"}, overrides=["traffic.concurrency=7,8"]) == [7, 8]


def test_single_values_follow_the_same_order() -> None:
    subject = scenario(platforms={"mocker": Layer(values={"traffic.osl": 16}, gates=(OTHER_GATE,))})
    defaults = {"traffic": {"isl": 128, "osl": 8}, "topology": {"worker": {"args": "--a 1", "count": 3}}}
    (case,) = expand(subject, platform(defaults), overrides=["traffic.runs=5"])
    assert (case.traffic.isl, case.traffic.osl, case.traffic.runs) == (128, 16, 5)
    assert case.topology.worker.args == ("--a", "1")
    assert case.expectation.gates == (OTHER_GATE,)
    assert case.overrides == ("traffic.runs=5",)


def test_a_single_value_narrows_an_axis_and_keeps_the_ids() -> None:
    axes: dict[str, tuple[Value, ...]] = {"topology.router_mode": ("kv", "random")}
    both = {case.case_id for case in expand(scenario(axes=axes), platform())}
    (one,) = expand(scenario(axes=axes, platforms={"mocker": Layer(values={"topology.router_mode": "kv"})}), platform())
    assert one.case_id in both
    assert one.topology.router_mode == "kv"


def test_an_axis_replaces_the_single_value_of_an_earlier_layer() -> None:
    cases = expand(scenario(), platform({"axes": {"traffic.isl": [64, 128]}}))
    assert [case.case_id for case in cases] == ["agg-isl64-osl32-c4", "agg-isl128-osl32-c4"]


def test_product_in_declared_order_and_cases_of_a_deployment_together() -> None:
    cases = expand(scenario(axes={"traffic.concurrency": (1, 2), "topology.mode": ("disagg", "agg"), "traffic.isl": (512,)}), platform())
    assert [case.case_id for case in cases] == [
        "disagg-isl512-osl32-c1",
        "disagg-isl512-osl32-c2",
        "agg-isl512-osl32-c1",
        "agg-isl512-osl32-c2",
    ]
    assert cases[0].axes == (("traffic.concurrency", "1"), ("topology.mode", "disagg"), ("traffic.isl", "512"))


def test_any_other_axis_is_appended_by_its_last_part() -> None:
    axes: dict[str, tuple[Value, ...]] = {
        "topology.worker.count": (2,),
        "traffic.ignore_eos": (False,),
        "topology.worker.args": (("--speedup-ratio", "0.9"),),
    }
    (case,) = expand(scenario(axes=axes), platform())
    assert case.case_id == "agg-isl256-osl32-c4-count2-ignore_eosfalse-argsspeedup-ratio-0.9"
    assert dict(case.axes)["topology.worker.args"] == "--speedup-ratio 0.9"


def test_equal_ids_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"sweep/scenario.toml: axes: .*'agg-isl256-osl32-c4-modela-b'.*model=a/b and .*model=a b"):
        expand(scenario(axes={"topology.model": ("a/b", "a b")}), platform())


@pytest.mark.parametrize(
    ("text", "levels"),
    [("4", [4]), ("8,1,4", [1, 4, 8]), (" 2 , 2,1 ", [1, 2]), ("+3", [3])],
)
def test_concurrencies(text: str, levels: list[int]) -> None:
    subject = scenario(axes={"traffic.concurrency": (1, 2)}, variables={"traffic.concurrency": "CONCURRENCIES"})
    assert [case.traffic.concurrency for case in expand(subject, platform(), environ={"CONCURRENCIES": text})] == levels


@pytest.mark.parametrize(
    ("text", "item"), [("1,x,4", "'x'"), ("1,,2", "''"), ("0", "'0'"), ("1,-2", "'-2'"), ("1.5", "'1.5'"), ("1;2", "'1;2'")]
)
def test_malformed_concurrencies_name_variable_and_item(text: str, item: str) -> None:
    subject = scenario(axes={"traffic.concurrency": (1, 2)}, variables={"traffic.concurrency": "CONCURRENCIES"})
    with pytest.raises(ScenarioError) as caught:
        expand(subject, platform(), environ={"CONCURRENCIES": text})
    assert f"CONCURRENCIES={text!r}" in str(caught.value)
    assert f"item {item}" in str(caught.value)


def test_empty_concurrencies_are_not_a_default() -> None:
    subject = scenario(axes={"traffic.concurrency": (1, 2)}, variables={"traffic.concurrency": "CONCURRENCIES"})
    with pytest.raises(ScenarioError, match="CONCURRENCIES='': the list is empty"):
        expand(subject, platform(), environ={"CONCURRENCIES": ""})


def test_a_variable_that_no_axis_names_is_not_looked_at() -> None:
    assert len(expand(scenario(), platform(), environ={"CONCURRENCIES": "x"})) == 1


@pytest.mark.parametrize("missing", sorted(VALUES))
def test_a_required_key_that_nothing_sets(missing: str) -> None:
    values = {name: value for name, value in VALUES.items() if name != missing}
    subject = Scenario(suite="s", file="s/scenario.toml", question="?", layer=Layer(values=values, gates=(GATE,)))
    with pytest.raises(ScenarioError) as caught:
        expand(subject, platform())
    for essential in ("s/scenario.toml", missing, "platforms/mocker.toml", KEYS[missing].allowed):
        assert essential in str(caught.value)


@pytest.mark.parametrize("gates", [(), (Gate(cell=GATE.cell, tolerance=0.03, decisive=False),)])
def test_a_case_that_could_never_fail_is_refused(gates: tuple[Gate, ...]) -> None:
    with pytest.raises(ScenarioError, match="no gate is decisive"):
        expand(scenario(gates=gates), platform())


def test_a_platform_with_a_bad_default_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"platforms/mocker.toml: traffic.isl: found 0"):
        expand(scenario(), platform({"traffic": {"isl": 0}}))


@given(
    concurrencies=st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True),
    modes=st.permutations(["agg", "disagg"]),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
)
@settings(max_examples=40, deadline=None)
def test_every_combination_once_and_each_deployment_once(concurrencies: list[int], modes: list[str], counts: list[int]) -> None:
    axes: dict[str, tuple[Value, ...]] = {
        "traffic.concurrency": tuple(concurrencies),
        "topology.mode": tuple(modes),
        "topology.worker.count": tuple(counts),
    }
    cases = expand(scenario(axes=axes), platform())
    assert len({case.case_id for case in cases}) == len(cases) == len(concurrencies) * len(modes) * len(counts)
    keys = [case.topology.deployment_key for case in cases]
    changes = sum(one != other for one, other in itertools.pairwise(keys))
    assert changes == len(set(keys)) - 1
    assert cases == expand(scenario(axes=axes), platform())


def test_a_case_is_made_of_every_layer_value() -> None:
    """No key is checked and then forgotten."""
    chosen: dict[str, Value] = {
        "topology.mode": "disagg",
        "topology.router_mode": "kv",
        "topology.planes": "default",
        "traffic.arrival.process": "sinusoidal",
        "traffic.workload.kind": "trace",
        "fault.inject": "pause decode",
    }
    kinds: dict[type, Value] = {tuple: ("--x",), str: "vllm", bool: False, int: 7, float: 0.5}
    sample = {key.name: chosen.get(key.name, kinds[key.kind]) for key in KEYS.values() if not key.name.startswith(ELSEWHERE)}
    subject = Scenario(suite="s", file="s/scenario.toml", question="?", layer=Layer(values=sample, gates=(GATE,)))
    (case,) = expand(subject, platform())
    assert case.fault is not None
    found = {"topology": asdict(case.topology), "traffic": asdict(case.traffic), "expect": asdict(case.expectation)}
    found["fault"] = asdict(case.fault)
    for name, value in sample.items():
        at: object = found
        for part in name.split("."):
            assert isinstance(at, dict)
            at = at[part]
        assert at == value, name


QUESTIONS: dict[str, Value] = {"traffic.concurrency": 2, "traffic.workload.kind": "mmlu"}


def test_a_closed_loop_and_an_open_one_ask_for_different_keys() -> None:
    open_loop: dict[str, Value] = {"traffic.arrival.process": "poisson", "traffic.arrival.rate_per_s": 10.0}
    with pytest.raises(ScenarioError, match=r"sweep/scenario.toml.*traffic.concurrency has no meaning.*'poisson'"):
        expand(scenario(open_loop), platform())
    values = {name: value for name, value in VALUES.items() if name != "traffic.concurrency"}
    subject = Scenario(suite="s", file="s/scenario.toml", question="?", layer=Layer(values=values | open_loop, gates=(GATE,)))
    (case,) = expand(subject, platform())
    assert case.case_id.endswith("-poisson-10")
    assert case.traffic.request_count == 300


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"traffic.arrival.process": "gamma"}, "traffic.arrival.rate_per_s is missing"),
        ({"traffic.arrival.process": "sinusoidal", "traffic.arrival.min_rate_per_s": 1.0}, "traffic.arrival.max_rate_per_s is missing"),
        (
            {
                "traffic.arrival.process": "sinusoidal",
                "traffic.arrival.min_rate_per_s": 3.0,
                "traffic.arrival.max_rate_per_s": 2.0,
                "traffic.arrival.period_s": 1.0,
            },
            "3 is above traffic.arrival.max_rate_per_s = 2",
        ),
        (
            {"traffic.arrival.process": "trace", "traffic.workload.kind": "trace", "traffic.workload.file": "t"},
            "traffic.requests is missing",
        ),
        ({"traffic.arrival.process": "trace", "traffic.requests": 5}, "has none"),
        ({"traffic.arrival.process": "trace", "traffic.requests": 5, "traffic.arrival.ramp_s": 1.0}, "whose times are its own"),
        ({"traffic.concurrency": 2, "traffic.workload.kind": "images"}, "traffic.workload.file is missing"),
        ({"traffic.concurrency": 2, "traffic.arrival.rate_per_s": 2.0}, "has no meaning in a closed loop"),
        (
            {"traffic.arrival.process": "constant", "traffic.arrival.rate_per_s": 2.0, "traffic.workload.kind": "conversation"},
            "conversations run in a closed loop",
        ),
        ({"traffic.concurrency": 2, "traffic.workload.kind": "fact-table", "traffic.workload.file": "x"}, "made by code: remove it"),
        ({"traffic.concurrency": 2, "traffic.workload.deal": True}, "traffic.workload.kind = 'synthetic' has none: remove it"),
        (
            {"traffic.arrival.process": "constant", "traffic.arrival.rate_per_s": 2.0, "traffic.workload.kind": "mmlu"},
            "is asked in a closed loop",
        ),
        (QUESTIONS, "traffic.ignore_eos is true"),
        (QUESTIONS | {"traffic.ignore_eos": False}, "traffic.temperature is missing"),
        (QUESTIONS | {"traffic.ignore_eos": False, "traffic.temperature": 0.0}, "traffic.requests is missing"),
        ({"traffic.concurrency": 2, "traffic.workload.min_isl": 5, "traffic.workload.max_isl": 4}, "no request would be left"),
    ],
)
def test_keys_that_do_not_go_together(values: dict[str, Value], words: str) -> None:
    known = {name: value for name, value in VALUES.items() if name != "traffic.concurrency"}
    subject = Scenario(suite="s", file="s/scenario.toml", question="?", layer=Layer(values=known | values, gates=(GATE,)))
    with pytest.raises(ScenarioError, match=re.escape(words)):
        expand(subject, platform())


def test_what_was_asked_before_there_were_questions_is_still_the_same() -> None:
    """Baselines are found by it."""
    plain = Traffic(isl=8, osl=4, concurrency=1)
    assert plain.workload_hash == replace(plain, keep_text=True).workload_hash == "22fc89c89fc8"
    questions = replace(plain, workload=Workload(kind="fact-table"))
    others = ({"limit": 3}, {"shots": 0}, {"deal": True})
    asked = (questions.workload, *(replace(questions.workload, **other) for other in others))
    hashes = {replace(questions, workload=workload).workload_hash for workload in asked}
    assert len(hashes) == 4
