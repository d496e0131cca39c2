"""--dynperf-set: what is replaced, what is appended, and errors that quote the option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.override import apply_override, parse_override

if TYPE_CHECKING:
    from pytest_dynperf.scenario.keys import Value


def applied(*options: str, values: dict[str, Value] | None = None, axes: dict[str, tuple[Value, ...]] | None = None) -> dict[str, object]:
    values, axes = values or {}, axes or {}
    for option in options:
        apply_override(parse_override(option), values, axes)
    return {**values, **axes}


def test_values_are_replaced_and_the_last_one_wins() -> None:
    assert applied("traffic.isl=512", "traffic.isl=64", values={"traffic.isl": 1}) == {"traffic.isl": 64}
    assert applied("topology.router_mode=kv", "expect.max_error_share=0.1") == {"topology.router_mode": "kv", "expect.max_error_share": 0.1}


def test_arguments_are_appended() -> None:
    found = applied(
        "topology.worker.args=--speedup-ratio 0.9",
        "topology.worker.args=--x=a=b",
        values={"topology.worker.args": ("--speedup-ratio", "1")},
    )
    assert found == {"topology.worker.args": ("--speedup-ratio", "1", "--speedup-ratio", "0.9", "--x=a=b")}
    assert applied("topology.router_args=--a 'b c'") == {"topology.router_args": ("--a", "b c")}


def test_arguments_are_appended_to_each_value_of_an_axis() -> None:
    found = applied("topology.worker.args=--c", axes={"topology.worker.args": (("--a",), ("--b",))})
    assert found == {"topology.worker.args": (("--a", "--c"), ("--b", "--c"))}


def test_an_axis_is_replaced_by_one_value_or_a_list() -> None:
    axes: dict[str, tuple[Value, ...]] = {"traffic.concurrency": (1, 2)}
    assert applied("traffic.concurrency=4,1", axes=dict(axes)) == {"traffic.concurrency": (1, 4)}
    assert applied("traffic.concurrency=8", axes=dict(axes)) == {"traffic.concurrency": (8,)}


@pytest.mark.parametrize(
    ("option", "essentials"),
    [
        ("traffic.isl", ["has no '='", "KEY=VALUE"]),
        ("trafic.isl=5", ["'trafic.isl'", "did you mean 'traffic.isl'"]),
        ("traffic=5", ["'traffic'", "known here"]),
        ("=5", ["''"]),
        ("traffic.isl=many", ["found 'many'", "an integer of at least 1"]),
        ("traffic.isl=1,2", ["found '1,2'", "an integer"]),
        ("traffic.osl=1", ["found 1", "at least 2"]),
        ("traffic.runs=0", ["found 0", "at least 1"]),
        ("traffic.concurrency=1,x", ["item 'x'"]),
        ("topology.router_mode=rr", ["found 'rr'", "'round-robin'"]),
        ("topology.worker.args='open", ['found "\'open"']),
        ("expect.max_error_share=2", ["found 2.0", "below 1"]),
    ],
)
def test_errors_quote_the_option(option: str, essentials: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        applied(option, axes={"traffic.concurrency": (1, 2)})
    for essential in [f"--dynperf-set {option}: ", *essentials]:
        assert essential in str(caught.value)
