"""Markdown for GitHub: verdict first, worst first, within its limits, and nothing from outside is markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pytest_dynperf.report.markdown import COMMENT_BYTES, code, escaped, fenced, markdown
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.full_report import full_report
from tests.fakes.judged_reports import expired, of_everything, shifted, waived
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result

HOSTILE = "<img src=x onerror=alert(1)> | @octocat #1 `x` [a](http://evil.example) \x1b[31m **b**\n::error::x"


def large(cases: int) -> str:
    results = [a_result(c, Outcome.REGRESSED, factor=1.1, case=replace(a_case(c), case_id=f"c{c}")) for c in range(1, cases + 1)]
    return markdown(a_report(*results), limit_bytes=COMMENT_BYTES)


def test_the_verdict_is_first_then_what_changed_then_the_rest_folded() -> None:
    text = markdown(a_regressed_sweep())
    order = [
        "## ✗ 1 of 4 cases regressed: agg-isl256-osl32-c4; 3 are unchanged.",
        "platform `mocker` (simulated timing)",
        "| ✗ | `agg-isl256-osl32-c4` | ITL p50 | 5.84 ms | 6.53 ms | +11.9 % ",
        "<details open><summary>✗ regressed",
        "repeat: pytest 'suites/",
        "<details><summary>14 unchanged metrics",
        "| = |",
        "| `dynamo.version` | `1.4.1` | `1.4.2` |",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("<details") == text.count("</details>")


def test_a_regression_is_told_before_what_is_invalid_or_waived() -> None:
    report = a_report(
        a_result(1), waived(2), a_result(4, Outcome.INVALID), a_result(8, Outcome.REGRESSED, factor=1.2), expired(concurrency=16)
    )
    text = markdown(report)
    summaries = re.findall(r"<summary>(.*?)<code>", text)
    assert [summary.split(" ", 1)[1].split(":")[0] for summary in summaries] == [
        "regressed", "unchanged, waiver expired", "invalid", "regressed, waived",
    ]  # fmt: skip
    assert len(re.findall("<details open>", text)) == 3


def test_what_the_whole_session_shares_and_what_is_missing_stand_at_the_top() -> None:
    text = markdown(replace(shifted(), missing=("suite/gone",), interrupted="SIGTERM"))
    assert text.startswith("## ! Session incomplete")
    assert text.index("missing: `suite/gone`") < text.index("**The whole session is") < text.index("| ✗ |")


@pytest.mark.parametrize("report", [of_everything(), full_report(), a_report(), a_report(a_result(1, Outcome.NO_BASELINE))])
def test_every_kind_of_session_has_a_text(report: object) -> None:
    text = markdown(report)  # type: ignore[arg-type]
    assert text.startswith("## ")
    assert text.count("<details") == text.count("</details>")


def test_it_keeps_to_the_limit_and_says_what_is_left_out() -> None:
    text = large(300)
    assert len(text.encode()) <= COMMENT_BYTES
    assert "300 of 300 cases regressed" in text
    assert re.search(r"\d+ \S+.* and what would follow are left out", text)
    assert text.count("<details") == text.count("</details>")
    assert "left out" not in large(3)


def test_without_any_room_the_verdict_is_still_there() -> None:
    text = markdown(a_regressed_sweep(), limit_bytes=0)
    assert "1 of 4 cases regressed" in text
    assert len(text.encode()) < 1000


def test_hostile_texts_are_shown_as_text() -> None:
    case = replace(a_case(), case_id=HOSTILE)
    result = replace(a_result(4, Outcome.REGRESSED, factor=1.1, case=case), reproduce=f"pytest ```{HOSTILE}")
    text = markdown(a_report(result))
    outside = re.sub(r"(`+)[^`].*?\1", "", re.sub(r"(`{3,})text\n.*?\n\1\n", "", text, flags=re.DOTALL))
    for active in ("<img", "@octocat", " #1 ", "](http", "\x1b", "**b**"):
        assert not re.search(rf"(?<!\\){re.escape(active)}", outside), active
    assert "\n::error" not in text
    assert text.count("\n````text\n") == 1, "three backticks in a block need four around it"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b", r"`a\|b`"), ("a\nb", "`a b`"), ("", "`  `")],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


def test_what_markdown_and_github_would_act_on() -> None:
    assert escaped("a*b_c [x] <y> | #1 @me") == "a\\*b\\_c \\[x\\] \\<y\\> \\| \\#\u200b1 @\u200bme"
    assert escaped("see https://x.example and www.x.example") == "see https://\u200bx.example and www.\u200bx.example"
    assert fenced("a").startswith("```text\n")
