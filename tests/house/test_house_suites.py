"""Every suite can answer or says why not: its cases on every platform, its pages, its test."""

from __future__ import annotations

import ast
import re
import runpy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.deployment.combination import flaws as combination_flaws
from pytest_dynperf.deployment.versions import choose
from pytest_dynperf.scenario.search import find_platforms
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_scenario
from pytest_dynperf.session.plan import START_S, estimate
from pytest_dynperf.workload.media import read_images
from pytest_dynperf.workload.trace import read_trace, write_trace
from tests.house.markdown import ROOT, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.scenario.case import Case

SUITES = {path.parent.name: path for path in sorted((ROOT / "suites").glob("*/scenario.toml"))}
PLATFORMS = {platform.name: platform for platform in find_platforms(near=ROOT / "suites")}
PAIRS = [(suite, platform) for suite in SUITES for platform in PLATFORMS]
LARGEST_TEST = 20
"""Lines of a suite's test, its docstring included."""


@cache
def cases(suite: str, platform: str) -> tuple[Case, ...]:
    return expand(load_scenario(SUITES[suite]), PLATFORMS[platform])


def answered(suite: str, platform: str) -> int:
    return sum(case.skip is None for case in cases(suite, platform))


# ---- docs/suites.md


def table(page: str) -> Iterator[tuple[str, str, str]]:
    """Suite, platform and cell of the table of suites; a column may stand for several platforms."""
    [found] = re.findall(r"^\| suite \|.*\n(?:\|.*\n)+", page, re.MULTILINE)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines() if line.startswith("| ")]
    head, *rows = lines
    for row in rows:
        suite = re.sub(r"\[`(\w+)`\].*", r"\1", row[0])
        for names, cell in zip(head[1:], row[1:], strict=True):
            yield from ((suite, name, cell) for name in re.findall(r"`(\w+)`", names))


def flaws(page: str) -> list[str]:
    """Where the table and the suites differ."""
    listed = {(suite, platform): cell for suite, platform, cell in table(page)}
    found = [f"{suite} on {platform} is not listed" for suite, platform in PAIRS if (suite, platform) not in listed]
    for (suite, platform), cell in listed.items():
        if suite not in SUITES or platform not in PLATFORMS:
            found.append(f"there is no {suite} on {platform}")
            continue
        stated = re.match(r"(\d+): |cannot: ", cell)
        if stated is None:
            found.append(f"{suite} on {platform}: {cell!r} begins neither with a number of cases nor with 'cannot'")
        elif int(stated[1] or 0) != answered(suite, platform):
            found.append(f"{suite} on {platform}: {stated[1] or 0} cases are listed, there are {answered(suite, platform)}")
        elif PLATFORMS[platform].gpu_count and stated[1] and "not yet run" not in cell:
            found.append(f"{suite} on {platform}: nobody has run it, and the page does not say so")
    return found


def test_the_table_says_of_every_suite_on_every_platform_what_there_is() -> None:
    assert flaws(read("suites.md")) == []


def test_a_wrong_count_a_missing_row_and_a_claim_are_found() -> None:
    page = read("suites.md")
    line = next(line for line in page.splitlines() if line.startswith("| [`routing`]"))
    assert flaws(page.replace(f"{line}\n", "")) == [f"routing on {platform} is not listed" for platform in PLATFORMS]
    wrong = re.sub(r"\| (\d+): ", lambda match: f"| {int(match[1]) + 1}: ", line, count=1)
    assert len(flaws(page.replace(line, wrong))) == 1
    claimed = flaws(page.replace(line, line.replace("not yet run", "runs here")))
    assert claimed
    assert all("nobody has run it" in flaw for flaw in claimed)


# ---- the suites themselves


@pytest.mark.parametrize(("suite", "platform"), PAIRS)
def test_cases_are_there_or_the_reason_is(suite: str, platform: str) -> None:
    found = cases(suite, platform)
    assert found
    assert len({case.case_id for case in found}) == len(found)
    for case in found:
        assert any(gate.decisive for gate in case.expectation.gates), f"{case.name} cannot be red"
        assert case.skip is None or len(case.skip) > 20


@pytest.mark.parametrize(("suite", "platform"), [pair for pair in PAIRS if pair[1] != "attached"])
def test_what_is_not_skipped_can_be_deployed(suite: str, platform: str) -> None:
    version = {"mocker": "1.4.2", "cpu": "1.6.1"}.get(platform, "1.3.1")
    for case in cases(suite, platform):
        if case.skip is None:
            assert list(combination_flaws(case.topology, choose(case.topology, found=version).dialect)) == [], case.name


@pytest.mark.parametrize("suite", SUITES)
def test_its_test_is_short_and_asks_the_question_of_the_scenario(suite: str) -> None:
    directory = SUITES[suite].parent
    text = (directory / f"test_{suite}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= LARGEST_TEST
    question = load_scenario(SUITES[suite]).question
    assert ast.get_docstring(ast.parse(text)) == question
    page = (directory / "README.md").read_text(encoding="utf-8")
    assert f"# {suite}\n" in page
    assert f"**Question.** {question}" in page
    assert {"Run", "Read"} <= set(re.findall(r"^## (\w+)", page, re.MULTILINE))


def test_the_traces_are_those_that_the_code_beside_them_makes(tmp_path: Path) -> None:
    directory = SUITES["trace_replay"].parent
    made = runpy.run_path(str(directory / "make_traces.py"))
    assert made["TRACES"]
    for name, make in made["TRACES"].items():
        path = tmp_path / f"{name}.jsonl"
        write_trace(path, make())
        assert path.read_bytes() == (directory / path.name).read_bytes(), name
        assert len(read_trace(path, block_size=made["BLOCK_SIZE"])) == made["REQUESTS"]


def test_the_recitations_are_those_that_the_code_beside_them_makes() -> None:
    directory = SUITES["speculative_decoding"].parent
    made = runpy.run_path(str(directory / "make_recitations.py"))["recitations"]()
    assert made == (directory / "recitations.jsonl").read_text(encoding="utf-8")
    assert len(set(made.splitlines())) == 30


@pytest.mark.parametrize(
    ("accepted", "wrong"),
    [
        ({"draft-model": 0.99, "draft-noise-5": 0.8, "draft-noise-10": 0.1}, None),
        ({"draft-model": 0.99, "draft-noise-10": 0.1}, None),
        ({"draft-model": 0.51, "draft-noise-5": 0.51, "draft-noise-10": 0.2}, "draft-noise-5"),
        ({"draft-noise-5": 0.2, "draft-noise-10": 0.51}, "draft-noise-10"),
    ],
)
def test_drafts_that_are_not_accepted_less_with_more_noise_are_found(accepted: dict[str, float], wrong: str | None) -> None:
    said = runpy.run_path(str(SUITES["speculative_decoding"].parent / "conftest.py"))["disorder"](accepted)
    assert (said or "").partition(" ")[0] == (wrong or "")


def test_the_pictures_are_pictures() -> None:
    assert len(read_images(SUITES["multimodal"].parent / "pictures")) == 8


# ---- one session on a CPU

CPU_MINUTES = 45
"""By the plan's assumptions, which are dearer than what two idle cores take."""


def starts(found: Sequence[Case]) -> int:
    """Deployments that a suite's cases need, one after the other; an arm that shows the noise has one of its own."""
    anew = sum(case.arm is not None and case.arm == case.expectation.parity.noise for case in found)
    return len({case.topology.deployment_key for case in found}) + anew


def minutes(found: Mapping[str, Sequence[Case]]) -> float:
    measuring_s = sum(estimate(case, ROOT / "nowhere").seconds for each in found.values() for case in each)
    return (measuring_s + START_S["engine"] * sum(starts(each) for each in found.values())) / 60


def on_a_cpu() -> dict[str, list[Case]]:
    found = {suite: [case for case in cases(suite, "cpu") if case.skip is None] for suite in SUITES}
    return {suite: each for suite, each in found.items() if each}


def test_all_suites_on_a_cpu_are_one_session() -> None:
    found = on_a_cpu()
    assert minutes(found) < CPU_MINUTES
    asked_more = {suite: [replace(case, traffic=replace(case.traffic, requests=512)) for case in each] for suite, each in found.items()}
    assert minutes(asked_more) > CPU_MINUTES


def test_the_page_counts_the_cases_and_starts_of_a_session_on_a_cpu() -> None:
    page, found = read("cpu-platform.md"), on_a_cpu()
    listed: dict[str, tuple[int, int]] = {}
    for names, counts, begun in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([\d, ]+) \| ([\d, ]+) \| ", page, re.MULTILINE):
        pairs = zip(counts.split(", "), begun.split(", "), strict=True)
        listed |= dict(zip(re.findall(r"`(\w+)`", names), ((int(count), int(start)) for count, start in pairs), strict=True))
    assert listed == {suite: (len(each), starts(each)) for suite, each in found.items()}
    counted, begun_in_all = (sum(pair[place] for pair in listed.values()) for place in range(2))
    assert f"{counted} cases on {begun_in_all} deployments" in page
