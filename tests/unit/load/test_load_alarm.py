"""Callbacks come in order, never early, and none after the end."""

from __future__ import annotations

import asyncio
from array import array
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
        hearts.append(Heartbeat())
        hearts[0].begin(alarm)
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


def test_a_read_stands_for_the_beat_and_a_late_one_for_the_stall() -> None:
    heart = Heartbeat()
    assert heart.wanted_ns > 10**18, "not begun: nobody is asked to tell"
    heart.alive(18 * MS, 7)
    heart.lags_ns = array("q")
    heart.stalls.clear()

    heart.alive(22 * MS, 30)
    assert list(heart.lags_ns) == [30]
    assert heart.wanted_ns == 24 * MS
    heart.alive(26 * MS, 40)
    assert list(heart.lags_ns) == [30, 40]
    assert not heart.stalls
    heart.alive(41 * MS, 10 * MS)  # due at 30
    assert list(heart.lags_ns) == [30, 40, 11 * MS, 7 * MS, 3 * MS]
    assert heart.stalls == [(26 * MS, 41 * MS)]
    heart.alive(43 * MS, 5)
    assert len(heart.stalls) == 1


def test_the_timer_does_not_beat_while_reads_do_and_goes_on_after_them() -> None:
    async def main() -> tuple[int, int, int]:
        alarm, heart, beats = Alarm(), Heartbeat(), 0
        note = heart._note

        def counted(now_ns: int, late_ns: int) -> None:
            nonlocal beats
            beats += 1
            note(now_ns, late_ns)

        heart._note = counted  # type: ignore[method-assign]
        heart.begin(alarm)
        for _ in range(300):
            await asyncio.sleep(0)
            heart.alive(monotonic_ns(), 1)
        while_reads = beats
        told = len(heart.lags_ns)
        await alarm.until(monotonic_ns() + 40 * MS)
        alarm.close()
        heart.alive(monotonic_ns(), 1)  # a read after the end moves nothing
        return while_reads, told, beats

    while_reads, told, beats = asyncio.run(main())
    assert told >= 300
    assert beats > while_reads, "nothing was read any more, and nothing beat"


def test_what_is_put_off_comes_when_it_was_put_off_to() -> None:
    rung: list[int] = []

    async def main() -> int:
        alarm = Alarm()
        enough = asyncio.Event()

        def ring() -> None:
            rung.append(monotonic_ns())
            enough.set()

        repeating = alarm.every(5 * MS, ring)
        later_ns = repeating.first_ns + 30 * MS
        repeating.put_off(later_ns)
        await enough.wait()
        alarm.close()
        repeating.put_off(later_ns)
        return later_ns

    later_ns = asyncio.run(main())
    assert rung[0] >= later_ns


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

        first_ns = alarm.every(4 * MS, ring).first_ns
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
