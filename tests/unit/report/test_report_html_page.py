from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.observation.recording import Certificate, ProcessUsage
from pytest_dynperf.report.html_page import render
from pytest_dynperf.verdict.sequential import LOOKS
from pytest_dynperf.verdict.suspicion import Suspicion
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.judged_reports import CONTROL, a_duet, a_waiver, by_duet, expired, of_everything, of_rates, shifted, underpowered, waived
from tests.fakes.session_reports import a_case, a_regressed_sweep, a_report, a_result, every_outcome

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"
VOID = {"meta", "br", "link", "img", "input"}


class Outline(HTMLParser):
    """Tags with attributes, ids, the text outside of style and script, and whether every element was closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def without_links(report: SessionReport) -> SessionReport:
    """Waivers link to trackers, in words alone: what is loaded from outside is looked for elsewhere."""
    return replace(report, results=tuple(replace(result, verdict=_unlinked(result.verdict)) for result in report.results))


def _unlinked(verdict: Verdict) -> Verdict:
    expired = tuple(replace(waiver, link="TRACKER-41") for waiver in verdict.expired)
    return replace(verdict, waiver=verdict.waiver and replace(verdict.waiver, link="TRACKER-41"), expired=expired)


def scripts_that_run(outline: Outline) -> int:
    return sum(tag == "script" and "type" not in attributes for tag, attributes in outline.tags)


REPORTS = [
    pytest.param(a_regressed_sweep(), id="regressed"),
    pytest.param(every_outcome(), id="every outcome"),
    pytest.param(a_report(), id="nothing"),
    pytest.param(a_report(a_result(1, Outcome.NO_BASELINE), a_result(4, Outcome.NO_BASELINE)), id="no baseline"),
    pytest.param(a_report(a_result(), missing=("a/b",), interrupted="SIGINT"), id="incomplete"),
    pytest.param(without_links(of_everything()), id="everything"),
]


@pytest.mark.parametrize("report", REPORTS)
def test_the_page_is_well_formed_with_unique_ids_and_links_that_lead_somewhere(report: SessionReport) -> None:
    outline = Outline(render(report))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [href[1:] for _, attributes in outline.tags if (href := attributes.get("href")) and href.startswith("#")]
    assert set(targets) <= set(ids)
    for _, attributes in outline.tags:
        for names in (attributes.get("aria-labelledby") or "").split():
            assert names in ids


@pytest.mark.parametrize("report", REPORTS)
def test_nothing_is_loaded_from_anywhere(report: SessionReport) -> None:
    page = render(report)
    assert not re.search(r"https?:", page)
    assert "url(" not in page
    assert "@import" not in page
    for tag, attributes in Outline(page).tags:
        assert "src" not in attributes
        assert "style" not in attributes, "the policy forbids style attributes"
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        href = attributes.get("href")
        assert href is None or href.startswith(("#", "./"))


def test_the_policy_names_the_hashes_of_what_the_page_holds() -> None:
    page = render(a_regressed_sweep())
    (policy,) = [unescape(text) for text in re.findall(r'Content-Security-Policy" content="([^"]*)"', page)]
    assert policy.startswith("default-src 'none'; ")
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_verdict_comes_before_everything_else() -> None:
    text = " ".join(Outline(render(a_regressed_sweep())).text.split())
    text = text.replace("CasesOver concurrency: concurrency_sweepEnvironmentCase by case", "")  # the links to the sections
    assert text.startswith("1 of 4 cases regressed: agg-isl256-osl32-c4")
    order = [
        "simulated timing, real frontend and router",
        "1 regressed",
        "Differs from the baseline: dynamo.version 1.4.1 → 1.4.2",
        "5.84 ms → 6.53 ms",
        "Confirmed by a fresh session",
        "dynamo.version: 1.4.1 → 1.4.2",
        "--dynperf-seed=7",
        "--accept-regression",
        "Worst first",
        "14 metrics",
        "Over concurrency",
        "Environment",
        "Case by case",
    ]
    places = [text.index(part, 100) for part in order]
    assert places == sorted(places)


def test_real_timing_has_no_badge() -> None:
    assert "simulated" not in render(replace(a_regressed_sweep(), simulated=False))


def test_the_table_has_the_worst_first_and_unchanged_folded() -> None:
    page = render(every_outcome())
    table = page[page.index('<table class="judged">') :]
    shown, folded = table.split('<details class="fold rows">', 1)
    kinds = list(dict.fromkeys(re.findall(r'<tr id="[^"]*" [^>]*data-outcome="([a-z-]+)"', shown)))
    assert kinds == ["regressed", "invalid", "no-baseline", "incomparable", "inconclusive", "improved"]
    assert "= unchanged" in folded


def test_few_unchanged_rows_are_open_when_there_is_nothing_else() -> None:
    assert '<details class="fold rows" open>' in render(a_report(a_result(1), a_result(4)))
    assert '<details class="fold rows" open>' not in render(a_report(*(a_result(n) for n in range(1, 20))))


def test_columns_of_a_comparison_are_left_out_where_nothing_was_compared() -> None:
    page = render(a_report(a_result(1, Outcome.NO_BASELINE)))
    table = page[page.index('<table class="judged">') : page.index('id="environment"')]
    assert "Baseline" not in table
    assert "5.36 ms" in table
    assert "--update-baselines" in page[: page.index('<table class="judged">')]


def test_an_invalid_case_shows_no_number_of_a_metric() -> None:
    page = render(a_report(a_result(4, Outcome.INVALID, factor=1.119)))
    text = Outline(page).text
    for number in ("532", "6.53", "30.4", "5.84", "596"):
        assert number not in text
    assert "ended with exit status 137" in text
    assert "deployments/3f2a/worker-1.log" in text
    assert "tok/s" not in text
    assert "<polyline" not in page


def test_a_case_that_never_ran_has_its_line_and_its_reason() -> None:
    verdict = Verdict(outcome=Outcome.INVALID, cells=(), reasons=("etcd did not become ready",))
    broken = replace(a_result(), verdict=verdict, measurement=None, environment=None)
    page = render(a_report(a_result(1), broken))
    table = page[page.index('<table class="judged">') : page.index("</table>")]
    assert "agg-isl256-osl32-c4" in table
    assert "etcd did not become ready" in table
    assert "Nothing was measured." in page


def test_text_from_outside_is_shown_and_not_run() -> None:
    case = replace(a_case(4, model=HOSTILE, suite=HOSTILE), case_id=HOSTILE, question=HOSTILE, overrides=(HOSTILE,))
    other = replace(a_case(16, suite=HOSTILE), case_id=HOSTILE + "2", axes=(("topology.mode", HOSTILE), ("traffic.concurrency", "16")))
    base = a_result(4, Outcome.REGRESSED, factor=1.2, case=case)
    hostile = replace(
        base,
        verdict=replace(base.verdict, reasons=(HOSTILE, "http://127.0.0.1:8000 said \ud800")),
        node_id=HOSTILE,
        reproduce=HOSTILE,
        accept=HOSTILE,
        logs=(HOSTILE, "javascript:alert(3)", "//evil.example/x"),
        records=(HOSTILE,),
        baseline_provenance={HOSTILE: HOSTILE},
        confirmed_by=HOSTILE,
    )
    report = replace(
        a_report(hostile, a_result(16, case=other), missing=(HOSTILE,), interrupted=HOSTILE),
        platform=HOSTILE,
        command=HOSTILE,
        versions={HOSTILE: HOSTILE},
        refused=(HOSTILE,),
        accepted=(HOSTILE,),
    )
    page = render(report)
    page.encode()
    outline = Outline(page)
    assert scripts_that_run(outline) == 1
    assert "img" not in [tag for tag, _ in outline.tags]
    assert HOSTILE in outline.text
    hrefs = [attributes["href"] for _, attributes in outline.tags if attributes.get("href")]
    assert all(href and href.startswith(("#", "./")) for href in hrefs)
    assert "http://127.0.0.1:8000" in outline.text, "an address as text is fine"


def test_equal_names_after_cleaning_keep_anchors_apart() -> None:
    first, second = (replace(a_case(), case_id=f"a{mark}b") for mark in "/:")
    outline = Outline(render(a_report(a_result(1, case=first), a_result(4, case=second))))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_generator_certificate_is_shown_with_its_limits_and_gaps() -> None:
    result = a_result()
    assert result.measurement is not None
    blank = Certificate(
        send_lag_p99_s=None,
        receive_lag_p99_s=None,
        mean_in_flight=None,
        coalesced_share=None,
        processes=(ProcessUsage(cpu_s=None, run_delay_s=None),),
        clock_step_s=0.0,
    )
    runs = (replace(result.measurement.runs[0], certificate=blank), *result.measurement.runs[1:])
    text = Outline(render(a_report(replace(result, measurement=replace(result.measurement, runs=runs))))).text
    assert "Send lag p99 (≤ 1.00 ms)" in text
    assert "0.0810 ms" in text


def test_absent_metrics_say_why() -> None:
    assert "– (p99 needs 1000 values, found 30)" in Outline(render(a_report(a_result()))).text


def test_a_window_of_1000_px_drops_the_drawing_and_nothing_else() -> None:
    page = render(a_regressed_sweep())
    narrow = re.search(r"@media \(max-width: (\d+)px\) \{\n  \.judged \.drawing, \.judged \.drawn \{ display: none; \}\n(.*)\n\}", page)
    assert narrow is not None
    assert int(narrow[1]) >= 1000
    assert ".cells td.number { white-space: normal; }" in narrow[2]
    tables = re.findall(r'<table class="judged">.*?</table>', page, re.DOTALL)
    assert tables
    for table in tables:
        widths = [re.findall(r'<t[hd][^>]*class="([^"]*)"', row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
        assert all("drawing" in row for row in widths), "the drawing of each row can be dropped, and its heading with it"
        assert all("history" in row for row in widths)
    assert page.count('<table class="cells">') == sum(bool(result.verdict.cells) for result in a_regressed_sweep().results)


def test_tables_have_header_cells_with_scope_and_drawings_have_names() -> None:
    for tag, attributes in Outline(render(every_outcome())).tags:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "svg":
            assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_contrasts_with_its_ground_in_both_schemes() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", render(a_report()), re.DOTALL)
    light, dark = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", part)) for part in re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    )
    for scheme in (light, dark):
        pairs = [(ink, ground) for ink in ("ink", "faint", "red", "yellow", "green", "blue") for ground in ("page", "paper", "code")]
        pairs += [(f"s{index}", "paper") for index in range(6)] + [("yellow", "yellow-soft")]
        for ink, ground in pairs:
            bright, dim = sorted((_luminance(scheme[ink]), _luminance(scheme[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (ink, ground)


# ---- pairs, rates, waivers, suspicions, a shift of everything


def words(report: SessionReport) -> str:
    """The page's text with a space wherever an element begins or ends."""
    body = re.sub(r"<(style|script)>.*?</\1>", " ", render(report), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_pairs_are_drawn_one_dot_each_and_told_in_figures() -> None:
    page = render(a_report(by_duet()))
    strips = re.findall(r'<svg class="strip regressed".*?</svg>', page, re.DOTALL)
    assert len(strips) == 2, "on the card and in the case"
    assert strips[0].count("<circle") + strips[0].count("<polygon") == 10
    text = words(a_report(by_duet()))
    assert "+5.0 %, +6.2 %, +5.5 %" in text
    assert f"10 pairs side by side against a control: {CONTROL} (1 more pair invalid and repeated)" in text
    assert "Arms differ in dynamo.version: 1.4.0 → 1.4.2" in text
    assert "regressed, 10 pairs" in text


def test_the_runs_of_both_arms_are_listed_in_their_order() -> None:
    text = words(a_report(by_duet()))
    places = [text.index(name) for name in ("pair 1, control", "pair 1, candidate", "pair 2, candidate", "pair 2, control")]
    assert places == sorted(places)
    assert "30 of 30 requests failed" in text


def test_a_page_without_a_duet_speaks_of_none() -> None:
    assert "pairs" not in words(a_regressed_sweep()).lower()


def test_a_waived_regression_has_a_card_that_is_neither_red_nor_green() -> None:
    page = render(a_report(a_result(1), waived()))
    assert '<section class="card open" aria-label="regressed, waived' in page
    assert "card bad" not in page
    assert '<div class="banner open">' in page
    assert "regressed, waived until 2026-12-31: the new sampler costs 12 %, agreed, https://tracker.example/41" in words(a_report(waived()))
    assert 'data-only="waived"' in page
    assert 'href="https' not in page


def test_an_expired_waiver_stands_in_the_banner_and_is_red() -> None:
    page = render(a_report(a_result(1), expired()))
    banner = page[page.index('<div class="banner bad">') : page.index("</header>")]
    assert "a waiver expired on 2026-01-31" in banner
    assert '<section class="card bad" aria-label="unchanged, waiver expired' in page


def test_a_shift_of_the_session_stands_before_every_failure() -> None:
    text = words(shifted())
    order = ["The whole session is 4.1 % slower", "Beyond it remain agg-isl256-osl32-c4 throughput", "lowers no outcome", "How sure"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert text.count("Benjamini-Hochberg") == 1
    assert "regressed †" in text


def test_the_card_has_three_suspicions_and_the_case_all() -> None:
    page = render(a_report(by_duet()))
    card, case = page.split('<details class="case"', 1)
    assert "load generator waited for CPU" not in card
    assert "1 more below" in card
    assert "load generator waited for CPU" in case
    assert "Suspicions, not findings" in card


def test_rates_are_in_points_and_counts_in_differences() -> None:
    text = words(a_report(of_rates()))
    assert "−3.1 points [−4.0, −2.2]" in text
    assert "3 requests 5 requests +2" in text
    for log_odd in ("13.4", "14.3", "+9.1"):
        assert log_odd not in text


def test_what_could_not_have_been_seen_stands_below_the_table() -> None:
    assert "2 of 6 cells could not have shown a regression of their tolerance" in words(underpowered())


def test_an_inconclusive_case_says_what_would_decide_it() -> None:
    assert f"10 of at most {LOOKS[-1]} were measured" in words(a_report(by_duet(Outcome.INCONCLUSIVE, pairs=10)))


def test_an_invalid_case_shows_no_number_of_its_pairs() -> None:
    page = render(a_report(by_duet(Outcome.INVALID)))
    assert 'class="strip' not in page
    assert "+5.0 %" not in page
    assert "6.13" not in page


def test_texts_of_waivers_controls_and_suspicions_are_shown_and_not_run() -> None:
    waiver = replace(a_waiver(HOSTILE), link="javascript:alert(3)", metric=HOSTILE)
    duet = replace(a_duet(HOSTILE), layout=HOSTILE, control_provenance={HOSTILE: HOSTILE}, problems=(HOSTILE,))
    suspicion = Suspicion(what=HOSTILE, sentence=HOSTILE, name=HOSTILE, text_before=HOSTILE, text_now=HOSTILE)
    result = replace(by_duet(duet=duet), suspicions=(suspicion,))
    result = replace(result, verdict=replace(result.verdict, waiver=waiver, expired=(waiver,)))
    report = a_report(result)
    outline = Outline(render(report))
    assert scripts_that_run(outline) == 1
    assert "img" not in [tag for tag, _ in outline.tags]
    assert outline.text.count(HOSTILE) > 8
    assert "javascript:alert(3)" in outline.text
    assert all((attributes.get("href") or "#").startswith(("#", "./")) for _, attributes in outline.tags)
