"""Callbacks come in order, never early, and none after the end."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from time import monotonic_ns
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.load.alarm import Alarm
from pytest_dynperf.load.heartbeat import PERIOD_NS, Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000_000


@pytest.fixture(params=["timerfd", "polled"], autouse=True)
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "polled":
        # As where the C library has no timerfd.
        monkeypatch.setattr("pytest_dynperf.load.alarm.ctypes.CDLL", lambda *_args, **_options: object())


def in_a_loop(scene: Callable[[Alarm], object]) -> None:
    async def main() -> None:
        alarm = Alarm()
        try:
            scene(alarm)
            await alarm.until(monotonic_ns() + 30 * MS)
        finally:
            alarm.close()
            alarm.close()

    asyncio.run(main())


def test_in_order_and_never_early() -> None:
    rung: list[tuple[str, int]] = []
    start = monotonic_ns()
    due = {"late": start + 20 * MS, "past": start - MS, "soon": start + 5 * MS, "with soon": start + 5 * MS}

    def scene(alarm: Alarm) -> None:
        for name, due_ns in due.items():
            alarm.at(due_ns, lambda name=name: rung.append((name, monotonic_ns())))  # type: ignore[misc]

    in_a_loop(scene)
    assert [name for name, _ in rung] == ["past", "soon", "with soon", "late"]
    assert all(at_ns >= due[name] for name, at_ns in rung)


def test_an_earlier_one_overtakes() -> None:
    rung: list[int] = []

    def scene(alarm: Alarm) -> None:
        def again() -> None:
            rung.append(1)
            alarm.at(monotonic_ns() + MS, lambda: rung.append(11))

        alarm.at(monotonic_ns() + 15 * MS, lambda: rung.append(2))
        alarm.at(monotonic_ns() + 2 * MS, again)

    in_a_loop(scene)
    assert rung == [1, 11, 2]


def test_none_after_the_end_and_no_file_left() -> None:
    rung: list[int] = []

    async def main() -> None:
        alarm = Alarm()
        alarm.at(monotonic_ns() + 2 * MS, lambda: rung.append(1))
        alarm.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert rung == []


def test_until_returns_at_once_for_the_past_and_can_be_cancelled() -> None:
    async def main() -> None:
        alarm = Alarm()
        await alarm.until(0)
        waiting = asyncio.create_task(alarm.until(monotonic_ns() + 2 * MS))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await alarm.until(monotonic_ns() + 5 * MS)  # the cancelled one rings into nothing
        alarm.close()

    asyncio.run(main())


def test_a_heart_that_misses_beats_counts_each_of_them() -> None:
    hearts: list[Heartbeat] = []

    async def main() -> None:
        alarm = Alarm()
        hearts.append(Heartbeat(alarm))
        await alarm.until(monotonic_ns() + 10 * MS)
        begun = monotonic_ns()
        while monotonic_ns() - begun < 50 * MS:  # nothing else can run
            pass
        await alarm.until(monotonic_ns() + 10 * MS)
        alarm.close()

    asyncio.run(main())
    (heart,) = hearts
    assert max(heart.lags_ns) >= 50 * MS - PERIOD_NS
    assert sum(lag >= 1 * MS for lag in heart.lags_ns) >= 11  # one every 4 ms of the stall
    assert min(heart.lags_ns) >= 0
    (start, end), *_ = (stall for stall in heart.stalls if stall[1] - stall[0] > 40 * MS)
    assert end - start >= 50 * MS


def test_what_repeats_is_never_early_and_leaves_out_what_it_missed() -> None:
    rung: list[int] = []
    stalled: list[int] = []

    async def main() -> None:
        alarm = Alarm()
        enough = asyncio.Event()

        def ring() -> None:
            rung.append(monotonic_ns())
            if len(rung) == 2:
                while monotonic_ns() - rung[-1] < 12 * MS:  # nothing else can run
                    pass
                stalled.append(monotonic_ns())
            elif len(rung) == 5:
                enough.set()

        first_ns = alarm.every(4 * MS, ring)
        await enough.wait()
        alarm.close()
        count = len(rung)
        await asyncio.sleep(0.02)
        assert len(rung) == count
        assert rung[0] >= first_ns
        # The third comes once for all that were missed; from then on the grid of the first holds again.
        assert all((at_ns - first_ns) // (4 * MS) > (before_ns - first_ns) // (4 * MS) for before_ns, at_ns in pairwise(rung))
        assert rung[2] >= stalled[0]

    asyncio.run(main())
