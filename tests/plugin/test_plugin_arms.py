"""Arms through whole pytest runs against a scripted server: what fails a test, what stands in the files, and what is said."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.workload.mmlu import local_set, prompt_of
from tests.fakes.answering_server import answering_server
from tests.fakes.sse_server import Behaviour, sse_server
from tests.plugin.conftest import SCENARIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugin.conftest import Bench, Outcome

FINE, OTHER = Behaviour(itl_s=0.001), Behaviour(itl_s=0.001, word="u")
ARMS = (
    SCENARIO.replace("osl = 8\n", "osl = 8\ntemperature = 0\n").replace("[1, 2]", "[1]")
    + """
[arms.off]
[arms.off-again]
[arms.warm]
traffic.cache = "warm"

[expect.parity]
reference = "off"
noise = "off-again"
texts = true
"""
)
OFF, WARM = "agg-isl64-osl8-c1-off", "agg-isl64-osl8-c1-warm"


@pytest.fixture
def arms(bench: Bench) -> Bench:
    bench.write("scenario.toml", ARMS)
    return bench


def case(session: dict[str, Any], case_id: str) -> dict[str, Any]:
    (found,) = (one for one in session["cases"] if one["case_id"] == case_id)
    return dict(found)


def test_arms_that_agree_pass_and_files_say_so(arms: Bench) -> None:
    """In two processes, of which one may need what the other has not measured yet."""
    with sse_server(FINE) as server:
        run = arms.run("-n", "2", url=server.url)
    assert run.code == 0, run.text
    assert run.outcomes() == dict.fromkeys((OFF, f"{OFF}-again", WARM), "no baseline")
    warm = case(run.session, WARM)
    assert (warm["arm"], warm["verdict"]["parity"]) == ("warm", "unchanged")
    assert warm["parity"]["texts"]["n"] == 90
    assert case(run.session, OFF)["parity"] is None
    assert f"parity of {WARM} with {OFF}: unchanged, 90 of 90 texts the same" in " ".join(run.text.split())
    assert "Parity: arms against their reference" in (arms.root / "reports/latest/report.html").read_text()
    again = judged_again(arms)
    assert again.returncode == 0, again.stdout + again.stderr


def judged_again(bench: Bench) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_dynperf", "judge", str(bench.root / "reports/latest"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=bench.root)


def test_one_arm_alone_is_still_held_against_its_reference_and_a_lost_text_fails_it(arms: Bench) -> None:
    """No baseline, nothing else selected: the reference is measured first (90 requests), then the arm, of which texts are others, and then
    the reference once more, which repeats itself.
    """
    with sse_server(*[FINE] * 200, *[OTHER] * 40, FINE) as server:
        run = arms.run("-k", "warm", "--update-baselines", url=server.url)
    assert run.code == 1, run.text
    assert run.outcomes() == {WARM: "regressed"}
    assert "other text: run-" in run.text
    assert "--accept-regression" not in run.text
    assert arms.baseline_files() == []
    assert "differs from itself in none of 90" in " ".join(run.text.split())
    assert "for-warm-run-1" in case(run.session, WARM)["parity"]["records"]["reference"][0]
    path = arms.root / "reports/latest" / case(run.session, WARM)["parity"]["records"]["candidate"][0]
    assert judged_again(arms).returncode == 0
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    path.write_bytes(gzip.compress("".join(json.dumps({**line, "answer": "?"}) + "\n" for line in lines).encode()))
    changed = judged_again(arms)
    assert changed.returncode != 0, "other answers, another judgement"
    assert "parity" in changed.stdout


def test_a_server_that_dies_in_the_middle_is_invalid_for_that_reason(arms: Bench) -> None:
    broken = Behaviour(close_unanswered=True)
    with sse_server(*[FINE] * 300, broken) as server:
        run = arms.run(url=server.url)
    assert run.code == 1, run.text
    assert run.outcomes()[WARM] == "invalid"
    assert "while the caches were warmed" in run.text or "requests failed" in run.text
    assert case(run.session, WARM)["parity"] is None


# ---- right and wrong answers

QUESTIONS = """
schema = 1
question = "Does a warm cache change an answer?"

[topology]
engine = "unknown"
model = "tiny"

[traffic]
isl = 64
osl = 8
concurrency = 1
requests = 32
warmup_requests = 1
ignore_eos = false
temperature = 0
max_failures_in_a_row = 100

[traffic.workload]
kind = "fact-table"
limit = 4

[arms.off]
[arms.warm]
traffic.cache = "warm"

[expect]
max_send_lag_s = 60
max_uncertain_share = 0.99
max_receive_lag_s = 60
min_in_flight_share = 0.01

[expect.parity]
reference = "off"
fixed = true

[[expect.gate]]
metric = "request_throughput.v1"
statistic = "value"
tolerance = 0.5
"""


def letters() -> dict[str, str]:
    """The right answer to every prompt of the set."""
    found = local_set()
    return {prompt_of(item, found, shots=0): item.letter for item in found.items}


def ask(bench: Bench, answer: Callable[[str, int], str], *arguments: str, die_after: int | None = None) -> Outcome:
    """``answer`` is told the right letter (none, where words are asked) and how many answers came before."""
    bench.write("scenario.toml", QUESTIONS)
    right, given = letters(), count()
    with answering_server(lambda prompt: answer(right.get(prompt, ""), next(given)), die_after=die_after) as server:
        return bench.run(f"--dynperf-endpoint={server.url}", "--dynperf-model=tiny", "--dynperf-environment=test", *arguments)


OFF_ITEMS, WARM_ITEMS = "agg-isl64-osl8-c1-off", "agg-isl64-osl8-c1-warm"
REFERENCE_ANSWERS = 120
"""More than the reference is asked (3 runs of 33, and what the prompts are calibrated by), and fewer than all."""


def test_the_same_answers_pass_and_lost_ones_are_named_by_item_and_subject(bench: Bench) -> None:
    same = ask(bench, lambda letter, _given: letter or "x")
    assert same.code == 0, same.text
    assert case(same.session, WARM_ITEMS)["parity"]["accuracy"]["n"] == 32
    lost = ask(bench, lambda letter, given: letter if given < REFERENCE_ANSWERS or letter != "B" else "C")
    assert lost.code == 1, lost.text
    assert lost.outcomes()[WARM_ITEMS] == "regressed"
    parity = case(lost.session, WARM_ITEMS)["parity"]
    assert parity["accuracy"]["losses"] == parity["discordant_count"] > 0
    assert len(parity["subjects"]) == 8
    assert "lost: block-" in lost.text


def test_answers_that_nobody_can_read_are_no_parity(bench: Bench) -> None:
    run = ask(bench, lambda letter, given: letter or "x" if given < REFERENCE_ANSWERS else "who knows")
    assert run.code == 1, run.text
    assert run.outcomes()[WARM_ITEMS] == "invalid"
    assert "32 of 32 answers could not be read (100.0%, allowed 1.0% by expect.parity.max_unreadable)" in " ".join(run.text.split())


def test_arms_without_a_word_are_no_parity(bench: Bench) -> None:
    run = ask(bench, lambda letter, _given: "" if letter else "x")
    assert run.code == 1, run.text
    assert set(run.outcomes().values()) == {"invalid"}
    assert "no chunk had content" in run.text


def test_a_server_that_dies_after_the_reference_is_no_parity(bench: Bench) -> None:
    run = ask(bench, lambda letter, _given: letter or "x", "-k", "warm", die_after=REFERENCE_ANSWERS)
    assert run.code == 1, run.text
    assert run.outcomes() == {WARM_ITEMS: "invalid"}
    assert "failed while the caches were warmed" in " ".join(run.text.split())
    assert (bench.root / "reports/latest/records/fake_suite" / OFF_ITEMS / "for-warm-run-3.jsonl.gz").is_file()
