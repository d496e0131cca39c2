from __future__ import annotations

from dataclasses import replace

from pytest_dynperf.report.suspicion_text import lines, suspected
from pytest_dynperf.verdict.suspicion import Suspicion
from tests.fakes.judged_reports import HIT_RATE, SUSPICIONS, by_duet
from tests.fakes.session_reports import a_result


def test_all_are_there_in_their_order_with_before_and_now() -> None:
    found = suspected(by_duet())
    assert [one.what for one in found] == ["decode", "queue", "recorded change", "client"]
    assert [one.evidence for one in found] == ["ITL p50: 5.84 ms → 6.53 ms, +11.9 %", "", "dynamo.version: 1.4.1 → 1.4.2", ""]


def test_a_failure_text_gets_three_and_the_number_of_the_rest() -> None:
    texts = lines(by_duet())
    assert len(texts) == 3
    assert texts[0].startswith("decode: ")
    assert texts[2].endswith("; 1 more in the report")
    assert not any("more in the report" in text for text in lines(replace(by_duet(), suspicions=SUSPICIONS[:3])))
    assert lines(a_result()) == []


def test_what_one_side_was_not_given_is_none_there() -> None:
    new = Suspicion(what="recorded change", sentence="new", name="worker.args", text_now="--x")
    gone = Suspicion(what="recorded change", sentence="gone", name="worker.args", text_before="--x")
    evidence = [one.evidence for one in suspected(replace(a_result(), suspicions=(new, gone)))]
    assert evidence == ["worker.args: (none) → --x", "worker.args: --x → (none)"]


def test_a_lag_without_a_before_stands_alone() -> None:
    lag = Suspicion(what="client", sentence="late", name="send lag p99", now=0.012, text_now="12 ms")
    assert suspected(replace(a_result(), suspicions=(lag,)))[0].evidence == "send lag p99: 12 ms"


def test_a_rate_is_shown_as_before_and_now_and_never_as_a_ratio() -> None:
    rate = Suspicion(what="prefill", sentence="fewer hits", cell=HIT_RATE, before=0.65, now=0.61, delta=0.17)
    assert suspected(replace(a_result(), suspicions=(rate,)))[0].evidence == "prefix_cache_hit_rate: 65.0 % → 61.0 %"
