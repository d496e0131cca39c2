"""Which requests are good."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.metrics.goodput import good_requests_per_second, meets, stated
from pytest_dynperf.metrics.objectives import NOTHING_STATED, Objectives
from pytest_dynperf.quantity import Absent
from tests.fakes.observations import MS, failed, record, recording

# TTFT 50 ms, ITL 10 ms, latency 70 ms; due 5 ms before it was sent.
REQUEST = replace(record(0, sent_ms=100, chunks_ms=(150, 160, 170)), scheduled_ns=95 * MS)
EXACT = {"time_to_first_token_s": 0.050, "inter_token_latency_s": 0.010, "request_latency_s": 0.070, "effective_latency_s": 0.075}


def test_every_objective_is_here() -> None:
    assert set(EXACT) == {field.name for field in fields(Objectives)}
    assert stated(Objectives(**EXACT)) == EXACT
    assert stated(NOTHING_STATED) == {}


@pytest.mark.parametrize("name", EXACT)
def test_a_bound_is_met_by_what_equals_it_and_by_nothing_above(name: str) -> None:
    assert meets(REQUEST, Objectives(**{name: EXACT[name]}))
    assert not meets(REQUEST, Objectives(**{name: EXACT[name] - 1e-6}))


@pytest.mark.parametrize("name", EXACT)
def test_all_objectives_must_be_met(name: str) -> None:
    assert meets(REQUEST, Objectives(**EXACT))
    assert not meets(REQUEST, Objectives(**{**EXACT, name: EXACT[name] / 2}))


def test_what_was_not_seen_is_not_met() -> None:
    unsent = replace(REQUEST, sent_ns=None)
    assert not meets(unsent, Objectives(time_to_first_token_s=9.0))
    assert meets(unsent, Objectives(effective_latency_s=9.0))
    assert not meets(replace(REQUEST, completion_tokens=None), Objectives(inter_token_latency_s=9.0))


def test_a_single_token_waits_for_no_other() -> None:
    assert meets(record(0, chunks_ms=(50,)), Objectives(inter_token_latency_s=1e-9))


def test_goodput_by_hand() -> None:
    slow = replace(REQUEST, chunk_ns=(160 * MS, 170 * MS, 180 * MS))
    seen = recording([REQUEST, slow, failed(3), record(9, measured=False)], window_ms=2_000)

    def value(objectives: Objectives) -> float | Absent:
        return good_requests_per_second(seen, RunFacts(gpu_count=None, objectives=objectives))

    assert value(Objectives(time_to_first_token_s=0.050)) == 0.5
    assert value(Objectives(time_to_first_token_s=0.060)) == 1.0
    assert value(Objectives(time_to_first_token_s=0.001)) == 0.0, "nobody was served well: that is a fact, and no absence"
    none_stated = value(NOTHING_STATED)
    assert isinstance(none_stated, Absent)
    assert "no objective" in none_stated.reason
    nothing = good_requests_per_second(recording([failed(0)]), RunFacts(gpu_count=None, objectives=Objectives(request_latency_s=1.0)))
    assert isinstance(nothing, Absent)
