"""The page in a real browser: what it shows without JavaScript, what it opens, what it refuses, and what axe-core says of it."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.report.html_blocks import INLINE
from pytest_dynperf.report.html_page import render
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.chromium import BINARY, Chromium, axe_source
from tests.fakes.courses import a_drilldown
from tests.fakes.judged_reports import of_everything
from tests.fakes.session_reports import a_case, a_report, a_result, every_outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.report.session_report import SessionReport

pytestmark = pytest.mark.skipif(BINARY is None, reason="missing tool: chromium (Debian: apt-get install chromium)")

HOSTILE = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 1</script>\'{{ 7*7 }}'


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as one:
        yield one


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return axe_source(Path(tempfile.gettempdir()) / "dynperf-axe")
    except (FileNotFoundError, subprocess.SubprocessError) as error:
        pytest.skip(f"missing tool: npm (Debian: apt-get install nodejs npm) and its registry, for axe-core: {error}")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), of_everything())


def written(directory: Path, report: SessionReport) -> Path:
    path = directory / "report.html"
    path.write_text(render(report, a_drilldown(report)))
    return path


def hostile_case(number: int) -> SessionReport:
    """So many unchanged cases that the last of them are packed."""
    results = []
    for index in range(number):
        case = replace(a_case(4, model=HOSTILE, suite=f"suite {HOSTILE}"), case_id=f"{index}-{HOSTILE}", question=HOSTILE)
        result = a_result(4, case=case)
        assert result.measurement is not None
        runs = tuple(replace(run, error_kinds={HOSTILE: 1}, notes=(HOSTILE,)) for run in result.measurement.runs)
        results.append(replace(result, measurement=replace(result.measurement, runs=runs), reproduce=HOSTILE, logs=(HOSTILE,)))
    return a_report(*results)


OPEN_EVERYTHING = """(async () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  await toggle(rows[0]);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_folded_or_open(browser: Chromium, axe: str, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    assert browser.axe(axe) == []
    browser.run(OPEN_EVERYTHING)
    assert browser.axe(axe) == []
    assert browser.complaints() == []


def test_axe_would_find_a_defect(browser: Chromium, axe: str, page: Path) -> None:
    browser.open(page)
    browser.run("rows[0].insertCell().append(document.createElement('button'))")
    assert any(one.startswith("button-name") for one in browser.axe(axe))


def test_without_javascript_verdicts_tables_and_drawings_are_there(browser: Chromium, page: Path) -> None:
    browser.open(page, scripts=False)
    text = browser.run("document.body.innerText")
    assert "4 of 10 cases regressed" in text
    assert "+20.0 % [+17.7, +22.3]" in text
    assert browser.run("document.querySelectorAll('table.judged svg.bar').length") > 5
    assert browser.run("document.querySelectorAll('canvas').length") == 0
    assert browser.run("document.getElementById('tools').hidden")
    browser.run("document.querySelector('details.case').open = true")
    opened = browser.run("document.querySelector('details.case').innerText")
    for part in (
        "run by run",
        "distribution of ITL",
        "need JavaScript",
        "--dynperf-seed=7",
        "Runs, and whether the load generator kept up",
    ):
        assert part in opened
    assert "need JavaScript" not in text, "folded away with the case"


def test_hostile_text_is_text_in_the_markup_and_in_what_is_unpacked(browser: Chromium, tmp_path: Path) -> None:
    browser.open(written(tmp_path, hostile_case(INLINE + 3)))
    assert browser.run("document.querySelectorAll('[data-packed=yes]').length") == INLINE + 3
    browser.run("unfold(rows[0]), toggle(rows[0])")
    assert browser.run("document.querySelectorAll('[data-packed=yes]').length") == INLINE + 2
    opened = browser.run("document.querySelector('tr.drill').innerText")
    assert opened.count(HOSTILE) >= 4
    assert browser.run("document.querySelectorAll('tr.drill canvas').length") > 0
    assert browser.run("document.images.length") == 0
    assert browser.run("window.hacked") is None
    assert browser.complaints() == []


def test_the_policy_refuses_a_script_that_is_not_ours(browser: Chromium, page: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered.html"
    altered.write_text(page.read_text().replace("</main>", "<script>window.foreign = 1</script><img src='https://127.0.0.1/x.png'></main>"))
    browser.open(altered)
    assert browser.run("window.foreign") is None
    complaints = browser.complaints()
    assert any("script" in one and "Content Security Policy" in one for one in complaints)
    assert any("img-src" in one for one in complaints)


def test_a_row_opens_to_drawings_and_the_address_opens_it_again(browser: Chromium, page: Path) -> None:
    browser.open(page)
    browser.run("(async () => { openerOf(rows[1]).click(); await new Promise((done) => setTimeout(done, 50)) })()")
    browser.run(SETTLED)
    assert browser.run("document.querySelectorAll('tr.drill canvas').length") > 0
    address = browser.run("location.hash")
    assert address == "#open=" + browser.run("rows[1].id")
    browser.open(page, fragment=address)
    browser.run(SETTLED)
    assert browser.run("rows[1].nextElementSibling.className") == "drill"
    browser.run("toggle(rows[1])")
    assert browser.run("location.hash") == ""
    assert browser.run("document.querySelectorAll('details.case > .inside').length") == 10, "the panel is back among the cases"
    browser.open(page, fragment="#" + browser.run("rows[2].id"))
    browser.run(SETTLED)
    assert browser.run("rows[2].nextElementSibling.className") == "drill", "a plain anchor opens its row"


SETTLED = """(async () => {
  const drawn = () => document.querySelector("tr.drill canvas") !== null;
  for (let turn = 0; turn < 500 && !drawn(); turn++) await new Promise((done) => setTimeout(done, 20));
})()"""


def test_a_peak_is_drawn_however_few_points_are(browser: Chromium, tmp_path: Path) -> None:
    report = a_report(a_result(4, Outcome.REGRESSED, factor=1.1))
    path = tmp_path / "report.html"
    path.write_text(render(report, a_drilldown(report, requests=5000)))
    browser.open(path)
    browser.run("toggle(rows[0])")
    labels = browser.run("[...document.querySelectorAll('.over-time .uplot')].map((one) => one.getAttribute('aria-label'))")
    assert "to 3,000, 4,999 values, 600 drawn: the least and the greatest of each stretch" in labels[0]


def test_filters_are_kept_in_the_address(browser: Chromium, tmp_path: Path) -> None:
    path = written(tmp_path, every_outcome())
    browser.open(path, fragment="#only=regressed&q=itl")
    assert browser.run("rows.filter((row) => !row.hidden).map((row) => row.dataset.outcome)") == ["regressed"]
    assert browser.run("byId('found').textContent").startswith("1 of ")
    browser.run("document.querySelector('button[data-only=regressed]').click()")
    assert browser.run("location.hash") == "#q=itl"
    browser.open(path, fragment="#only=%3Cb%3E&q=%E0%A4%A")
    assert browser.run("rows.every((row) => !row.hidden)"), "what no chip says filters nothing"
    assert browser.complaints() == []


def test_the_keyboard_goes_from_row_to_row_opens_and_closes(browser: Chromium, page: Path) -> None:
    browser.open(page)
    for key in ("j", "j"):
        press(browser, key)
    assert browser.run("rows.findIndex((row) => row.contains(document.activeElement))") == 1
    press(browser, "Enter")
    browser.run(SETTLED)
    assert browser.run("isOpen(rows[1])")
    press(browser, "Escape")
    assert not browser.run("isOpen(rows[1])")
    press(browser, "/")
    assert browser.run("document.activeElement.id") == "search"


def press(browser: Chromium, key: str) -> None:
    text = {"Enter": "\r", "Escape": ""}.get(key, key)
    codes = {"Enter": 13, "Escape": 27}
    told = {"key": key, "text": text, "windowsVirtualKeyCode": codes.get(key, ord(key.upper()[0]))}
    browser.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **told)
    browser.send("Input.dispatchKeyEvent", type="keyUp", key=key)


def test_what_is_saved_holds_the_values_and_the_readings(browser: Chromium, page: Path) -> None:
    browser.open(page)
    saved = browser.run("unpack(rows[0].dataset.case).then(whole)")
    assert saved["case"] == "concurrency_sweep/agg-isl256-osl32-c4"
    assert {cell["statistic"] for cell in saved["cells"]} == {"value", "p50", "p90"}
    assert [run["run"] for run in saved["over_time"]] == ["run-1", "run-2", "run-3"]


def test_on_paper_it_is_black_on_white_and_unfolded(browser: Chromium, page: Path) -> None:
    browser.open(page, dark=True)
    browser.scheme("dark", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("document.querySelector('details.case .inside').getBoundingClientRect().height") > 100
    assert browser.run("getComputedStyle(document.getElementById('tools')).display") == "none"
