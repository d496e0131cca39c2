from __future__ import annotations

from pytest_dynperf.report import waiver_text
from tests.fakes.judged_reports import a_waiver, expired, waived


def test_a_waiver_says_until_when_why_and_where() -> None:
    assert waiver_text.waived(a_waiver()) == "waived until 2026-12-31: the new sampler costs 12 %, agreed, https://tracker.example/41"


def test_an_expired_waiver_names_its_metric_where_it_has_one() -> None:
    old = a_waiver("known", expires="2026-01-31", metric="inter_token_latency")
    assert waiver_text.expired(old) == "a waiver of inter_token_latency expired on 2026-01-31: known, https://tracker.example/41"


def test_expired_waivers_are_found_in_every_case_that_has_one() -> None:
    found = waiver_text.expired_cases((waived(), expired(), expired(concurrency=64)))
    assert [result.case.case_id for result, _ in found] == ["agg-isl256-osl32-c16", "agg-isl256-osl32-c64"]
