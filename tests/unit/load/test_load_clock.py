"""The difference of the two clocks: noise is not adopted, a step is, and both are told."""

from __future__ import annotations

import time

import pytest

from pytest_dynperf.load import clock
from pytest_dynperf.load.clock import ClockOffset, sampled_offset_ns


def test_noise_is_not_adopted_and_a_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = iter([1_000_000, 1_040_000, 960_000, 6_000_000])
    monkeypatch.setattr(clock, "sampled_offset_ns", lambda: next(offsets))
    offset = ClockOffset()
    offset.sample()
    offset.sample()
    assert offset.offset_ns == 1_000_000
    assert offset.step_s == pytest.approx(80e-6)
    offset.sample()
    assert offset.offset_ns == 6_000_000
    assert offset.step_s == pytest.approx(5.04e-3)


def test_the_offset_lies_between_what_the_clocks_say() -> None:
    before = time.time_ns() - time.monotonic_ns()  # monotonic is read later: at most the difference
    offset = sampled_offset_ns()
    after = -time.monotonic_ns() + time.time_ns()
    assert before - 1_000_000 <= offset <= after + 1_000_000


def test_the_narrowest_bracket_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that was interrupted is wide, and wrong by up to its width."""
    monotonic = iter([value for start in range(0, 6000, 1000) for value in (start, start + 900)] + [6000, 6010])
    real = iter([start + 5_000 for start in range(0, 6000, 1000)] + [6005 + 5_000])
    monkeypatch.setattr("pytest_dynperf.load.clock.time.monotonic_ns", lambda: next(monotonic))
    monkeypatch.setattr("pytest_dynperf.load.clock.time.time_ns", lambda: next(real))
    assert sampled_offset_ns() == 5_000
