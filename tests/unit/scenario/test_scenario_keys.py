"""Keys are the fields of the values, and no text gets past the check of its key."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.metrics.objectives import Objectives
from pytest_dynperf.scenario.expectation import Expectation, Parity
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.keys import KEYS, TABLES, accept, find_key, read, read_list
from pytest_dynperf.scenario.topology import Images, KvCache, Role, Router, Speculation, Topology
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload

CONCURRENCY = KEYS["traffic.concurrency"]


def test_every_field_is_a_key() -> None:
    roles = ("worker", "prefill", "decode", "encode")
    expected = {f"topology.{field.name}" for field in fields(Topology) if field.name not in roles}
    expected |= {f"topology.{role}.{field.name}" for role in roles for field in fields(Role)}
    inner = {"traffic.arrival": Arrival, "traffic.workload": Workload, "expect.objectives": Objectives, "expect.parity": Parity}
    inner |= {"topology.images": Images, "topology.router": Router, "topology.kv_cache": KvCache, "topology.speculation": Speculation}
    expected |= {f"traffic.{field.name}" for field in fields(Traffic)}
    expected |= {f"fault.{field.name}" for field in fields(Fault)}
    expected |= {f"expect.{field.name}" for field in fields(Expectation) if field.name != "gates"}
    expected = (expected - inner.keys()) | {f"{name}.{field.name}" for name, cls in inner.items() for field in fields(cls)}
    assert set(KEYS) == expected
    assert set(TABLES) == {"topology", "traffic", "expect", "fault", *inner, *(f"topology.{role}" for role in roles)}
    assert {key.name for key in KEYS.values() if key.required} == {
        *("topology.engine", "topology.model", "traffic.isl", "traffic.osl"),
    }


def test_every_number_has_a_bound() -> None:
    for key in KEYS.values():
        if key.kind in (int, float):
            with pytest.raises(ScenarioError, match="here: found -1, allowed"):
                accept(key, -1, where="here")


@given(
    st.sampled_from(sorted(KEYS)),
    st.one_of(st.text(max_size=12), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.text())),
)
@settings(max_examples=200, deadline=None)
def test_what_is_accepted_has_the_type_of_its_key(name: str, found: object) -> None:
    key = KEYS[name]
    try:
        value = accept(key, found, where="here")
    except ScenarioError as error:
        text = str(error)
    else:
        assert type(value) is key.kind
        return
    assert text.startswith("here: found ")
    assert key.allowed in text


@given(st.lists(st.integers(min_value=1, max_value=10_000), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_list_of_numbers_is_ascending_and_without_duplicates(numbers: list[int]) -> None:
    text = " , ".join(map(str, numbers))
    assert read_list(CONCURRENCY, text, where="here") == tuple(sorted(set(numbers)))


@given(st.text(max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_list_is_numbers_or_an_error(text: str) -> None:
    items = text.split(",")
    if all(item.strip().lstrip("+").isascii() and item.strip().removeprefix("+").isdigit() and int(item) >= 1 for item in items):
        assert read_list(CONCURRENCY, text, where="here")
    else:
        with pytest.raises(ScenarioError, match=r"^here: "):
            read_list(CONCURRENCY, text, where="here")


def test_texts_keep_their_order() -> None:
    assert read_list(KEYS["topology.mode"], "disagg,agg,disagg", where="here") == ("disagg", "agg")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("traffic.ignore_eos", "false", False),
        ("traffic.request_timeout_s", "2.5", 2.5),
        ("traffic.isl", " 512 ", 512),
        ("topology.model", "a,b", "a,b"),
        ("topology.worker.args", "--a 'b c'", ("--a", "b c")),
    ],
)
def test_text_becomes_the_type_of_its_key(name: str, text: str, value: object) -> None:
    assert read(KEYS[name], text, where="here") == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("traffic.ignore_eos", "yes"),
        ("traffic.request_timeout_s", "inf"),
        ("traffic.request_timeout_s", "soon"),
        ("traffic.isl", "5.0"),
        ("traffic.isl", "9" * 5000),
        ("topology.model", " "),
        ("topology.router_mode", "round_robin"),
    ],
)
def test_text_that_does_not_fit_is_refused(name: str, text: str) -> None:
    with pytest.raises(ScenarioError, match="here: found"):
        read(KEYS[name], text, where="here")


def test_an_unknown_key_lists_what_its_table_knows() -> None:
    with pytest.raises(ScenarioError, match=r"'topology.worker.size'.*known here: topology.worker.count, topology.worker.gpus"):
        find_key("topology.worker.size", where="here")
    with pytest.raises(ScenarioError, match=r"'isl' \(did you mean 'traffic\.isl'\?\)"):
        find_key("isl", where="here")
    with pytest.raises(ScenarioError, match="known here: expect, fault, topology, traffic"):
        find_key("zzz", where="here")
