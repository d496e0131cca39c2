"""Each thing that a GPU may do to a run, planted, beside what just passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.gpu_reasons import forbidden
from pytest_dynperf.measurement.gpu_validity import gpu_notes, gpu_problems
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.metrics import series_ids as ids
from pytest_dynperf.observation.series import Series, SeriesKind
from tests.fakes.observations import EXPECTATION, TRAFFIC, record, recording

if TYPE_CHECKING:
    from pytest_dynperf.observation.recording import Recording

STEP_NS = 250_000_000
STAMPS = tuple(range(-STEP_NS, 10_000_000_000 + 2 * STEP_NS, STEP_NS))
UUID = "GPU-5a5a"


def series(
    series_id: str, values: dict[float, float] | float, *, stamps: tuple[int, ...] = STAMPS, source: str = UUID, **labels: str
) -> Series:
    """A constant, or values that hold from a second on."""
    steps = {-9.0: values} if isinstance(values, int | float) else values
    column = tuple(float([value for since, value in steps.items() if since * 1e9 <= stamp][-1]) for stamp in stamps)
    own = tuple(sorted({"gpu": "0", **labels}.items()))
    return Series(id=series_id, source=source, kind=SeriesKind.GAUGE, labels=own, stamps_ns=stamps, values=column)


PRESENT = series(ids.GPU_PRESENT, 1)


def seen(*found: Series, window_ms: int = 10_000, present: Series = PRESENT) -> Recording:
    return replace(recording(tuple(record(index) for index in range(32)), window_ms=window_ms), series=(present, *found))


HEALTHY = (
    series(ids.GPU_CLOCK_REASONS, 0),
    series(ids.GPU_UTILIZATION, 0.9),
    series(ids.GPU_MEMORY_USED, 70e9),
    series(ids.GPU_MEMORY_UNEXPLAINED, 5e8),
    series(ids.GPU_ECC_UNCORRECTED, 0),
    series(ids.GPU_PROCESS, 1, pid="12", own="yes", name="python"),
)


def test_a_healthy_gpu_is_no_problem_and_no_note() -> None:
    assert gpu_problems(seen(*HEALTHY)) == ()
    assert gpu_notes(seen(*HEALTHY)) == ()
    assert problems(seen(*HEALTHY), TRAFFIC, EXPECTATION) == ()


def test_a_run_without_gpus_is_no_problem() -> None:
    assert gpu_problems(recording(())) == ()


@pytest.mark.parametrize(
    ("mask", "word"), [(0x8, "HwSlowdown"), (0x20, "SwThermalSlowdown"), (0x40, "HwThermalSlowdown"), (0x80, "HwPowerBrake")]
)
def test_a_slowed_gpu_is_a_problem_with_when_and_for_how_long(mask: int, word: str) -> None:
    hot = seen(
        series(ids.GPU_CLOCK_REASONS, {-1: 1, 2.0: mask | 1, 5.5: 0}), series(ids.GPU_TEMPERATURE, 93), series(ids.GPU_SM_CLOCK, 345e6)
    )

    (text,) = gpu_problems(hot)

    assert text.startswith(f"GPU 0 ({UUID}): ")
    assert word in text
    assert (
        "for 3.5 s of 10.0 s, between 2.0 s and 5.5 s after the start of the window, allowed is none (up to 93 °C, down to 345 MHz)" in text
    )
    assert problems(hot, TRAFFIC, EXPECTATION) == (text,)


@pytest.mark.parametrize("mask", [0x0, 0x1, 0x2, 0x4, 0x10, 0x100, 0x200])
def test_other_reasons_forbid_nothing(mask: int) -> None:
    assert gpu_problems(seen(series(ids.GPU_CLOCK_REASONS, mask))) == ()


def test_the_umbrella_is_named_only_where_it_stands_alone() -> None:
    assert (forbidden(0x8), forbidden(0x48), forbidden(0xC8), forbidden(0x28)) == ((0x8,), (0x40,), (0x40, 0x80), (0x8, 0x20))


def test_what_ended_before_the_window_is_no_problem_and_what_lasts_into_it_is() -> None:
    before = tuple(range(-2_000_000_000, 10_500_000_000, STEP_NS))
    present = series(ids.GPU_PRESENT, 1, stamps=before)
    ended = series(ids.GPU_CLOCK_REASONS, {-2: 0x40, -0.25: 0}, stamps=before)
    lasting = series(ids.GPU_CLOCK_REASONS, {-2: 0x40, 0.25: 0}, stamps=before)
    assert gpu_problems(seen(ended, present=present)) == ()
    assert "between 0.0 s and 0.2 s" in gpu_problems(seen(lasting, present=present))[0]


def test_a_power_cap_is_a_note_with_its_time() -> None:
    capped = seen(series(ids.GPU_CLOCK_REASONS, {-1: 0x4, 4.0: 0}))
    (text,) = gpu_notes(capped)
    assert gpu_problems(capped) == ()
    assert "SwPowerCap) for 4.0 s of 10.0 s" in text


def test_new_memory_errors() -> None:
    (text,) = gpu_problems(seen(series(ids.GPU_ECC_UNCORRECTED, {-1: 0, 3: 2})))
    assert "2 new uncorrected memory errors (ECC), the first 3.0 s after the start of the window" in text


def test_an_xid_before_the_window_counts_too() -> None:
    (text,) = gpu_problems(seen(series(ids.GPU_XIDS, {-1: 1, 3: 2}, xid="79")))
    assert "critical error Xid 79 (2 in all), the first 0.2 s before the window" in text
    assert gpu_problems(seen(series(ids.GPU_XIDS, 0, xid="79"))) == ()


def test_a_foreign_process_in_the_window() -> None:
    stranger = series(ids.GPU_PROCESS, {-1: 0, 4: 1, 6: 0}, pid="77", own="no", name="blender")
    (text,) = gpu_problems(seen(stranger))
    assert "process 77 (blender) is not of this deployment and used it for 2.0 s of 10.0 s, between 4.0 s and 6.0 s" in text


def test_a_process_of_nobody_knows_whom_is_a_problem_only_where_it_came_during_the_run() -> None:
    there = series(ids.GPU_PROCESS, 1, pid="77", own="unknown", name="?")
    came = series(ids.GPU_PROCESS, {-1: 0, 4: 1}, pid="77", own="unknown", name="?")
    assert gpu_problems(seen(there)) == ()
    assert "came during the run" in gpu_problems(seen(came))[0]


@pytest.mark.parametrize(("grown", "bad"), [(256 << 20, False), ((256 << 20) + 1, True)])
def test_memory_that_no_process_explains(grown: int, bad: bool) -> None:
    found = gpu_problems(seen(series(ids.GPU_MEMORY_UNEXPLAINED, {-1: 5e8, 4: 5e8 + grown})))
    assert bool(found) == bad
    assert not bad or "256 MiB of memory that no listed process explains came for 6.0 s" in found[0]


def test_a_gpu_that_vanished_is_said_once_and_nothing_else_of_it() -> None:
    lost = series(ids.GPU_PRESENT, {-1: 1, 5: 0})
    early = tuple(stamp for stamp in STAMPS if stamp < 5e9)
    (text,) = gpu_problems(seen(series(ids.GPU_CLOCK_REASONS, 0x40, stamps=early), present=lost))
    assert text.startswith(
        f"GPU 0 ({UUID}): vanished 5.0 s after the start of the window: the driver no longer reached it in 22 of 43 readings"
    )


def test_idle_under_load() -> None:
    (text,) = gpu_problems(seen(series(ids.GPU_UTILIZATION, 0)))
    assert "utilization was 0 in all 41 readings of 10.0 s while 32 requests were answered" in text


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param(seen(series(ids.GPU_UTILIZATION, {-1: 0, 9.75: 0.01, 10: 0})), id="busy once"),
        pytest.param(seen(series(ids.GPU_UTILIZATION, 0), window_ms=1_900), id="a window too short to tell"),
        pytest.param(replace(seen(series(ids.GPU_UTILIZATION, 0)), records=()), id="nothing was answered"),
    ],
)
def test_not_idle_under_load(busy: Recording) -> None:
    assert gpu_problems(busy) == ()


def cut(until_s: float) -> Series:
    return series(ids.GPU_PRESENT, 1, stamps=tuple(stamp for stamp in STAMPS if stamp <= until_s * 1e9))


@pytest.mark.parametrize(("until_s", "bad"), [(8.5, False), (8.25, True), (3.0, True)])
def test_readings_that_end_early(until_s: float, bad: bool) -> None:
    found = gpu_problems(seen(present=cut(until_s)))
    assert bool(found) == bad
    assert not bad or "no readings for" in found[0]


def test_no_readings_at_all() -> None:
    (text,) = gpu_problems(seen(present=series(ids.GPU_PRESENT, 1, stamps=())))
    assert "no readings for 100% of the window, allowed 10%" in text


def test_a_field_that_stopped_is_a_problem_and_one_that_never_was_is_not() -> None:
    early = tuple(stamp for stamp in STAMPS if stamp < 5e9)
    (text,) = gpu_problems(seen(series(ids.GPU_CLOCK_REASONS, 0, stamps=early)))
    assert "clock event reasons not read for 48% of the window" in text
    assert gpu_problems(seen()) == ()


def test_each_gpu_is_judged_for_itself() -> None:
    second = (series(ids.GPU_PRESENT, 1, source="GPU-b", gpu="1"), series(ids.GPU_CLOCK_REASONS, 0x80, source="GPU-b", gpu="1"))
    (text,) = gpu_problems(seen(*HEALTHY, *second))
    assert text.startswith("GPU 1 (GPU-b): hardware power brake")
