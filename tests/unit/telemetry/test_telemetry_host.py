from __future__ import annotations

import time
from collections import namedtuple

import psutil
import pytest

from pytest_dynperf.telemetry.host import BUSY, CAPACITY, STOLEN, grown, host_counters, stolen_note


def test_counters_grow_with_the_clock_and_with_work() -> None:
    before, begun = host_counters(), time.monotonic()
    while time.monotonic() - begun < 0.3:
        pass
    after = host_counters()
    passed = {name: after[name] - before[name] for name in after}
    assert 0 < passed[BUSY] <= passed[CAPACITY]
    # Ticks of 10 ms; a machine that was stopped meanwhile counts nothing, so only what is too much is wrong.
    assert passed[CAPACITY] <= (time.monotonic() - begun + 0.1) * (psutil.cpu_count() or 1)


def test_a_counter_that_began_anew_has_not_grown_by_less_than_nothing() -> None:
    assert grown({"a": 1.0, "b": 9.0, "c": 1.0}, {"a": 4.0, "b": 2.0, "d": 1.0}) == {"a": 3.0}


def times(**values: float) -> object:
    return namedtuple("scputimes", values)(**values)


def test_time_of_guests_counts_once_and_waiting_is_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = times(user=10.0, nice=1.0, system=4.0, idle=80.0, iowait=2.0, irq=0.5, softirq=0.5, steal=2.0, guest=3.0, guest_nice=0.0)
    monkeypatch.setattr(psutil, "cpu_times", lambda: kernel)
    assert host_counters() == {CAPACITY: pytest.approx(100.0), BUSY: pytest.approx(16.0), STOLEN: 2.0}


def test_a_system_that_does_not_tell_of_stolen_time_claims_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda: times(user=10.0, nice=0.0, system=5.0, idle=85.0))
    assert host_counters() == {CAPACITY: 100.0, BUSY: 15.0}


@pytest.mark.parametrize(
    ("witness", "said"), [({}, ()), ({CAPACITY: 0.0, STOLEN: 0.0}, ()), ({CAPACITY: 100.0, STOLEN: 2.9}, ()), ({CAPACITY: 9.0}, ())]
)
def test_nothing_is_said_of_little(witness: dict[str, float], said: tuple[str, ...]) -> None:
    assert stolen_note(witness) == said


def test_much_is_said() -> None:
    (note,) = stolen_note({CAPACITY: 100.0, STOLEN: 14.2, BUSY: 50.0})
    assert "14 % of this machine's CPU time" in note
