from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dynperf.report.terminal import Line, failure_text, header, live_line, summary
from pytest_dynperf.scenario.platform import Platform
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.judged_reports import (
    CONTROL,
    a_duet,
    a_waiver,
    by_duet,
    expired,
    of_everything,
    of_rates,
    shifted,
    underpowered,
    waived,
)
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result, every_outcome

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport

WHOLE = ("report:", "baseline:", "accept:")
"""What starts so is a path or a command, and stays whole to be copied."""


def texts(report: SessionReport, *, width: int = 100, verbose: bool = False) -> list[str]:
    return [line.text for line in summary(report, width=width, verbose=verbose)]


def test_the_verdict_comes_first_and_the_report_last() -> None:
    lines = summary(a_regressed_sweep(), width=100, verbose=False)
    assert lines[0] == Line("1 of 4 cases regressed: agg-isl256-osl32-c4; 3 are unchanged.", "red")
    assert lines[-1].text == "report: reports/20261121T030501Z-3f2a9c/report.html"


def test_the_table_shows_what_regressed_with_everything_needed_to_believe_it() -> None:
    (row,) = [text for text in texts(a_regressed_sweep()) if "ITL p50" in text and "→" not in text]
    for part in ("agg-isl256-osl32-c4", "5.84 ms", "6.53 ms", "+11.9 % [+9.8, +14.0]", "7.8 %", "regressed"):
        assert part in row
    (row,) = [text for text in texts(a_regressed_sweep()) if "throughput" in text]
    assert "−10.6 % [−12.3, −8.9]" in row


def test_unchanged_rows_appear_with_verbose_only_and_are_counted_always() -> None:
    assert not any("TTFT p50" in text for text in texts(a_regressed_sweep()))
    assert sum("TTFT p50" in text for text in texts(a_regressed_sweep(), verbose=True)) == 4
    assert "4 cases in 3 min 20 s: 1 regressed, 3 unchanged" in texts(a_regressed_sweep())


def test_the_table_has_the_worst_first() -> None:
    lines = texts(every_outcome())
    table = lines[lines.index("") :]
    places = [next(i for i, text in enumerate(table) if word in text.split()) for word in ("regressed", "inconclusive", "improved")]
    assert places == sorted(places)


def test_a_newcomer_sees_numbers_per_case() -> None:
    (line,) = [text for text in texts(a_report(a_result(4, Outcome.NO_BASELINE))) if "no baseline  " in text]
    assert line.split("  ") == ["", "agg-isl256-osl32-c4", "no baseline", "596 tok/s", "ITL 5.84 ms", "TTFT 30.4 ms", "run CV of ITL 0.5 %"]


def test_many_unchanged_cases_are_folded() -> None:
    report = a_report(*(a_result(n) for n in range(1, 30)), a_result(64, Outcome.REGRESSED, factor=1.2))
    assert any("29 more unchanged (-v lists them)" in text for text in texts(report))
    assert sum(text.strip().startswith("agg-") for text in texts(report)) == 3  # its line, and two rows of the table
    assert sum("  unchanged  " in text and "tok/s" in text for text in texts(report, verbose=True)) >= 29


def test_an_invalid_case_shows_its_reason_and_no_number() -> None:
    lines = texts(a_report(a_result(4, Outcome.INVALID, factor=1.119)))
    assert any("ended with exit status 137" in text for text in lines)
    assert not any("tok/s" in text or " ms" in text for text in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("verbose", [False, True])
def test_lines_keep_to_the_width(width: int, verbose: bool) -> None:
    for report in (a_regressed_sweep(), every_outcome()):
        for text in texts(report, width=width, verbose=verbose):
            assert text.startswith(WHOLE) or "proposals for baselines" in text or len(text) <= min(width, 100), text


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=150), st.integers(40, 120))
def test_no_name_breaks_the_width(name: str, width: int) -> None:
    case = replace(a_case(), case_id=name, suite=name)
    for text in texts(a_report(a_result(4, Outcome.REGRESSED, factor=1.2, case=case)), width=width):
        assert len(text) <= min(width, 100) or text.startswith(WHOLE)
        assert text.isprintable()


def test_a_narrow_terminal_keeps_names_and_numbers_whole() -> None:
    lines = texts(every_outcome(), width=60)
    for whole in ("agg-isl256-osl32-c64", "+11.9 % [+9.8, +14.0]", "15.4 ms → 17.3 ms"):
        assert any(whole in text for text in lines), whole


def test_accepted_and_refused_baselines_are_said() -> None:
    report = replace(a_report(a_result()), accepted=("baselines/m/s/c/1.json",), refused=("s/d: dirty tree",))
    assert "baseline: baselines/m/s/c/1.json" in texts(report)
    assert "no baseline written: s/d: dirty tree" in texts(report)


def test_a_proposal_names_the_command() -> None:
    lines = texts(a_report(a_result(4, Outcome.NO_BASELINE)))
    assert "1 proposal for baselines in reports/20261121T030501Z-3f2a9c/proposals" in lines
    assert "accept: pytest suites/concurrency_sweep -k agg-isl256-osl32-c4 --gpu=mocker --update-baselines" in lines


def test_an_incomplete_session_is_red_even_where_all_is_unchanged() -> None:
    lines = summary(a_report(a_result(), missing=("suite/lost",)), width=100, verbose=False)
    assert lines[0].style == "red"
    assert Line("  missing: suite/lost", "red") in lines
    assert summary(a_report(), width=100, verbose=False)[0] == Line("No case was measured.", "red")


def test_the_failure_says_what_how_sure_why_and_what_to_do() -> None:
    text = failure_text(a_result(4, Outcome.REGRESSED, factor=1.119), run_directory="reports/r")
    for part in (
        "REGRESSED: concurrency_sweep/agg-isl256-osl32-c4",
        "ITL p50: 5.84 ms → 6.53 ms, +11.9 % [+9.8, +14.0]",
        "throughput: 596 tok/s → 532 tok/s, −10.6 % [−12.3, −8.9]",
        "limit +5.1 %, tolerance 3 %, MDE 7.8 %, 5 sessions of baseline",
        "confirmed by: a fresh session",
        "dynamo.version: 1.4.1 → 1.4.2",
        "repeat: pytest 'suites/concurrency_sweep/test_concurrency_sweep.py::test_case[agg-isl256-osl32-c4]'",
        '--accept-regression "reason"',
        "log: reports/r/deployments/3f2a/worker-1.log",
    ):
        assert part in text
    assert "TTFT" not in text, "what did not regress is not in the way"


def test_a_regression_without_a_changed_provenance_says_so() -> None:
    result = a_result(4, Outcome.REGRESSED, factor=1.119)
    assert result.environment is not None
    text = failure_text(replace(result, baseline_provenance=result.environment.provenance))
    assert "nothing that is recorded differs" in text


def test_the_failure_of_an_invalid_case_shows_reasons_and_logs_but_no_number() -> None:
    text = failure_text(a_result(4, Outcome.INVALID, factor=1.119))
    assert text.startswith("INVALID: concurrency_sweep/agg-isl256-osl32-c4\n  worker 1 (dynamo.mocker) ended with exit status 137")
    assert "log: deployments/3f2a/worker-1.log" in text
    assert "accept:" not in text
    assert "tok/s" not in text
    assert " ms" not in text


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    result = a_result(4, Outcome.INVALID)
    hostile = replace(result, verdict=replace(result.verdict, reasons=("\x1b[2J\x07 gone\nsecond line \u202egnp",)))
    shown = failure_text(hostile) + "".join(texts(a_report(hostile)))
    assert not any(ord(character) < 32 for character in shown.replace("\n", ""))
    assert "\u202e" not in shown
    assert "\\x1b[2J" in shown
    assert "\n  second line" in shown, "the lines of a quoted log stay lines"


def test_the_live_line() -> None:
    line = live_line("concurrency_sweep", "c64", run=2, runs=3, share=0.61, tokens_per_s=812.3, seconds_left=240.0)
    assert line == "concurrency_sweep c64 · run 2/3 · 61 % · 812 tok/s · 4 min left"
    line = live_line("concurrency_sweep", "c64", run=1, runs=3, share=0.0, tokens_per_s=None, seconds_left=None)
    assert line == "concurrency_sweep c64 · run 1/3 · 0 %"
    assert live_line("s", "c", run=1, runs=1, share=0.9, tokens_per_s=1.0, seconds_left=12.0).endswith("12 s left")


@pytest.mark.parametrize(("simulated", "said"), [(True, True), (False, False)])
def test_the_header_says_where_timing_is_simulated(simulated: bool, said: bool) -> None:
    platform = Platform(
        name="mocker",
        summary="",
        file="",
        gpu_pattern="",
        gpu_count=0,
        gpu_memory_gib=0.0,
        launcher="process",
        simulated=simulated,
        verified=True,
        defaults={},
    )
    first, second = header(platform=platform, versions={"ai-dynamo": "1.4.2"}, baseline_directory="baselines", seed=7)
    assert ("simulated timing" in first) is said
    assert "no GPU, launcher process, ai-dynamo 1.4.2" in first
    assert second == "dynperf: baselines in baselines, seed 7, intervals 90 %"


def test_of_a_quoted_log_the_summary_has_the_last_line_and_the_failure_all() -> None:
    result = a_result(4, Outcome.INVALID)
    quoted = replace(
        result, verdict=replace(result.verdict, reasons=("worker ended. Its log ends:\n  usage: [--a]\n  [--b]\n  error: no --c",))
    )
    said = " ".join(texts(a_report(quoted)))
    assert "worker ended. Its log ends: …" in said
    assert "error: no --c" in said
    assert "[--a]" not in said
    assert "\n  [--b]\n" in failure_text(quoted)


# ---- pairs, rates, waivers, suspicions, a shift of everything


def test_a_shift_of_the_whole_session_comes_before_the_verdict_with_the_failures_grouped_below_it() -> None:
    lines = texts(shifted())
    assert lines[0].startswith("The whole session is 4.1 % slower than its baselines: 8 of 16 cells")
    verdict = lines.index("2 of 4 cases regressed: agg-isl256-osl32-c4, agg-isl256-osl32-c16; 2 are unchanged.")
    before = " ".join(lines[:verdict])
    assert before.index("no more than that: agg-isl256-osl32-c16") < before.index("beyond it remain: agg-isl256-osl32-c4")
    assert "lowers no outcome" in before
    assert summary(shifted(), width=100, verbose=False)[verdict].style == "red", "the shift excuses nothing"


def test_the_mark_of_survivors_is_explained_once() -> None:
    lines = texts(shifted())
    assert sum("regressed †" in text for text in lines) == 1
    assert sum("Benjamini-Hochberg" in text for text in lines) == 1


def test_a_waived_regression_is_neither_red_nor_green_and_says_until_when() -> None:
    lines = summary(a_report(a_result(1), waived()), width=100, verbose=False)
    assert lines[0] == Line("1 of 2 cases regressed and is waived: agg-isl256-osl32-c4; 1 is unchanged.", "yellow")
    said = [line for line in lines if "waived" in line.text]
    assert {line.style for line in said} <= {"yellow", "bold"}
    assert any("regressed, waived until 2026-12-31: the new sampler costs" in line.text for line in said)
    assert lines[-2].text == "2 cases in 3 min 20 s: 1 regressed (waived), 1 unchanged"


def test_an_expired_waiver_is_red_and_named_before_the_cases() -> None:
    lines = summary(a_report(a_result(1), expired()), width=120, verbose=False)
    assert lines[0].style == "red"
    place = next(i for i, line in enumerate(lines) if "a waiver expired on 2026-01-31: known since the spring" in line.text)
    assert lines[place].style == "red"
    assert place < next(i for i, line in enumerate(lines) if line.text == "concurrency_sweep")
    assert any("renews or removes it in waivers.toml" in line.text for line in lines)
    assert failure_text(expired(Outcome.REGRESSED)).splitlines()[1].startswith("  a waiver expired on 2026-01-31")


def test_a_duet_is_told_with_its_control_pairs_and_layout() -> None:
    lines = texts(a_report(by_duet()))
    assert any("regressed, 10 pairs" in text for text in lines)
    assert f"Pairs were measured side by side against a control: {CONTROL}." in " ".join(" ".join(lines).split())
    text = failure_text(by_duet())
    for part in (
        "limit +1.5 %, tolerance 3 %, MDE 3.1 %, 10 pairs with a control",
        "confirmed by: 10 pairs side by side against a control: the same case, run by",
        "  differs from the control:\n    dynamo.version: 1.4.0 → 1.4.2\n",
    ):
        assert part in text
    alike = replace(a_duet(), control_provenance=by_duet().environment.provenance)  # type: ignore[union-attr]
    assert "nothing that is recorded differs between the arms" in failure_text(by_duet(duet=alike))


def test_a_suspect_that_the_pairs_have_cleared_is_not_in_the_way() -> None:
    result = by_duet()
    cleared = tuple(replace(cell, suspect=True) if cell.outcome is Outcome.UNCHANGED else cell for cell in result.verdict.cells)
    assert "TTFT" not in failure_text(replace(result, verdict=replace(result.verdict, cells=cleared)))


def test_at_most_three_suspicions_and_they_are_called_so() -> None:
    text = failure_text(by_duet())
    assert "look here first (suspicions, not findings):\n    decode: " in text
    assert "so suspect" not in text, "what differs is named once, by the suspicions"
    alone = failure_text(replace(by_duet(), duet=None))
    assert "load generator waited" not in alone
    assert "1 more in the" in alone


def test_what_the_arms_differ_in_is_not_told_twice() -> None:
    text = failure_text(by_duet())
    assert "recorded change" not in text
    assert text.count("dynamo.version") == 1
    same = replace(by_duet(), duet=None)
    assert "recorded change: " in failure_text(same)


def test_many_files_are_named_by_their_directory() -> None:
    result = replace(a_result(4, Outcome.REGRESSED, factor=1.119), logs=tuple(f"deployments/{d}/{n}.log" for d in "ab" for n in range(5)))
    text = failure_text(result, run_directory="reports/r")
    assert "  log (5 files): reports/r/deployments/a\n  log (5 files): reports/r/deployments/b\n" in text
    assert "requests: reports/r/records/concurrency_sweep/agg-isl256-osl32-c4/run-1.jsonl.gz" in text


def test_rates_and_counts_are_shown_in_their_own_terms() -> None:
    text = failure_text(of_rates())
    assert "prefix_cache_hit_rate: 65.0 % → 61.9 %, −3.1 points [−4.0, −2.2]" in text
    assert "server_preemptions: 3 requests → 5 requests, +2\n    tolerance none, it must be equal, 5 sessions of baseline" in text
    assert "limit +0" not in text


def test_an_inconclusive_case_says_what_would_decide_it() -> None:
    said = " ".join(texts(a_report(by_duet(Outcome.INCONCLUSIVE, pairs=10))))
    assert f"10 of at most {LOOKS[-1]} were measured" in said


def test_cells_that_could_not_have_shown_a_regression_are_counted() -> None:
    assert "2 of 6 cells could not have shown" in " ".join(texts(underpowered()))
    assert "could not have shown" not in " ".join(texts(a_regressed_sweep()))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_everything_at_once_keeps_to_the_width(width: int) -> None:
    for text in texts(of_everything(), width=width, verbose=True):
        assert text.startswith(WHOLE) or len(text) <= min(width, 100), text


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_no_text_from_outside_steers_the_terminal(text: str) -> None:
    waiver = replace(a_waiver(text), link=text, case=text, metric=text)
    suspicion = Suspicion(what=text, sentence=text, name=text, text_before=text, text_now=text)
    result = replace(
        by_duet(duet=replace(a_duet(text), layout=text, control_provenance={text: text})),
        suspicions=(suspicion,),
        baseline_provenance={text: text},
    )
    result = replace(result, verdict=replace(result.verdict, waiver=waiver, expired=(waiver,), reasons=(text,)))
    shown = [*texts(a_report(result), width=60), *failure_text(result).split("\n")]
    assert all(line.isprintable() for line in shown)


def test_the_examples_of_the_docs_are_what_is_printed() -> None:
    page = (Path(__file__).parents[3] / "docs" / "report.md").read_text("utf-8")
    examples = re.findall(r"```text\n(.*?)\n```", page, re.DOTALL)
    printed = "\n".join([failure_text(by_duet()), *texts(shifted())])
    assert len(examples) == 3
    for example in examples:
        assert example in printed


@pytest.mark.parametrize("width", [40, 60, 100, 300])
def test_the_failure_keeps_to_the_width_but_for_what_is_copied(width: int) -> None:
    copied = (*(f"{outcome.text.upper()}: " for outcome in Outcome), "  repeat: ", "  accept: ", "  log", "  requests")
    for result in every_outcome().results:
        for line in failure_text(result, run_directory="reports/r", width=width).splitlines():
            assert len(line) <= min(width, 100) or line.startswith(copied), line


@pytest.mark.parametrize("text", ["::error file=x::boom", "  ::stop-commands::x", "log ##[error]boom", "\t::add-mask::x"])
def test_no_line_is_a_command_of_github(text: str) -> None:
    result = a_result(4, Outcome.INVALID)
    result = replace(result, verdict=replace(result.verdict, reasons=(f"worker ended\n{text}",)))
    for shown in (*failure_text(result).splitlines(), *texts(a_report(result))):
        assert not shown.lstrip().startswith("::"), shown
        assert "##[" not in shown
    assert "boom" in failure_text(result) or "boom" not in text


def test_the_header_says_what_is_there_and_what_will_run() -> None:
    platform = Platform(
        name="h200",
        summary="",
        file="",
        gpu_pattern="H200",
        gpu_count=2,
        gpu_memory_gib=140.0,
        launcher="container",
        simulated=False,
        verified=True,
        defaults={},
    )
    known = {"platform": platform, "versions": {"pytest-dynperf": "0.1"}, "baseline_directory": "b", "seed": 1}
    first, _ = header(**known, hardware="2 x NVIDIA H200, driver 570.86", engines=["vllm of image:1", "mocker"])  # type: ignore[arg-type]
    assert first == (
        "dynperf: platform h200, 2 x NVIDIA H200, driver 570.86, launcher container, engine vllm of image:1, mocker, pytest-dynperf 0.1"
    )
    assert "2 x H200, launcher" in header(**known)[0]  # type: ignore[arg-type]
