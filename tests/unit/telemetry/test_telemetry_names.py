"""The documentation has the table of names, whole and in its order, and the bounds that are in force."""

from __future__ import annotations

from pathlib import Path

from pytest_dynperf.telemetry import process
from pytest_dynperf.telemetry.names import BY_SAMPLE, TABLE, Form
from tests.house.markdown import rows

PAGE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text(encoding="utf-8")


def documented(text: str) -> list[tuple[str, str, str, str]]:
    forms = {form.value for form in Form}
    return [(row[0].strip("`"), row[1], row[2].strip("`"), row[3]) for row in rows(text) if len(row) == 4 and row[1] in forms]


def test_every_name_is_documented_in_the_order_in_which_they_are_tried() -> None:
    assert documented(PAGE) == [(name.series, name.form.value, name.name, name.evidence) for name in TABLE]


def test_a_name_that_is_missing_there_is_found() -> None:
    line = next(line for line in PAGE.splitlines() if "vllm:num_preemptions" in line)
    assert len(documented(PAGE.replace(f"{line}\n", ""))) == len(TABLE) - 1


def test_the_bounds_are_documented() -> None:
    assert f"{process.TIMEOUT_S:g} s and {process.MAX_PAGE_BYTES >> 20} MiB a page, {process.BUDGET_BYTES >> 20} MiB" in PAGE


def test_a_sample_is_found_by_every_name_that_pages_give_it() -> None:
    assert "vllm:num_preemptions" in BY_SAMPLE
    assert "vllm:num_preemptions_total" in BY_SAMPLE
    assert {"vllm:request_queue_time_seconds" + part for part in ("_sum", "_count", "_bucket")} <= set(BY_SAMPLE)
    assert "vllm:request_queue_time_seconds" not in BY_SAMPLE
    assert not any(name.endswith("_created") for name in BY_SAMPLE)
