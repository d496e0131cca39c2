"""What a disturbance says of itself."""

from __future__ import annotations

from dataclasses import fields

import pytest

from pytest_dynperf.fault.disturbance import BYTES, UNDISTURBED, Disturbance


def test_the_default_does_nothing() -> None:
    assert UNDISTURBED.kinds == ()
    assert UNDISTURBED.needs_http == ()


@pytest.mark.parametrize(
    ("disturbance", "kinds"),
    [
        (Disturbance(reset_after_bytes=0), ("reset_after_bytes",)),  # nothing at all comes through: that is a fault too
        (Disturbance(malformed_after_events=0), ("malformed_after_events",)),
        (Disturbance(latency_s=0.1, jitter_s=0.1, times=3), ("latency_s",)),
        (Disturbance(refuse=True, status=503), ("refuse", "status")),
    ],
)
def test_what_it_does(disturbance: Disturbance, kinds: tuple[str, ...]) -> None:
    assert disturbance.kinds == kinds


def test_what_needs_http() -> None:
    asked = {"latency_s": 1.0, "bytes_per_s": 1.0, "drip_s": 1.0, "refuse": True, "zero_tokens": True, "without_done": True}
    numbers = ("reset_after_bytes", "truncate_after_bytes", "stall_after_bytes", "status", "endless")
    events = ("malformed_after_events", "error_after_events")
    everything = Disturbance(**(asked | dict.fromkeys((*numbers, *events), 500)))  # type: ignore[arg-type]
    assert set(everything.kinds) == {field.name for field in fields(Disturbance)} - {"jitter_s", "after", "times", "paths"}
    assert set(everything.needs_http) == set(everything.kinds) - set(BYTES)
