"""Our own client asks questions: every item once, the answers graded, and a server that dies in the middle is an invalid run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.load.run import run_load
from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.metrics.accuracy import accuracy, by_subject, graded, right_of_asked, unreadable_answer_rate
from pytest_dynperf.metrics.definition import RunFacts
from pytest_dynperf.observation.record_file import read_records
from pytest_dynperf.quantity import Absent
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.workload.mmlu import local_set, prompt_of
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of
from tests.fakes.answering_server import answering_server

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.observation.recording import Recording

FACTS = RunFacts(gpu_count=None)
TRAFFIC = Traffic(
    isl=40, osl=8, concurrency=2, requests=32, warmup_requests=2, ignore_eos=False, temperature=0.0,
    workload=Workload(kind="fact-table", limit=4),
)  # fmt: skip


def ask(url: str, tmp_path: Path, *, processes: int = 1) -> Recording:
    requests = requests_of(TRAFFIC, CalibratedPrompts(template_tokens=4, turn_tokens=4), seed=1, root=tmp_path)
    endpoint = Endpoint(base_url=url, model="tiny")
    path = tmp_path / "run.jsonl"
    return run_load(endpoint, requests, TRAFFIC, run="1", seed=1, records_path=path, processes=processes, temporary=tmp_path)


@pytest.mark.parametrize("processes", [1, 2])
def test_answers_are_kept_and_graded(tmp_path: Path, processes: int) -> None:
    found = local_set()
    right = {prompt_of(item, found, shots=0): item.letter for item in found.items}
    wrong = {"A": "B", "B": "C", "C": "D", "D": "A"}

    def answer(prompt: str) -> str:
        letter = right.get(prompt, "x")
        if letter == "x":
            return "words"
        return {0: letter, 1: f"({letter}) of course", 2: wrong[letter], 3: "hm"}[len(prompt) % 4]

    with answering_server(answer) as server:
        seen = ask(server.url, tmp_path, processes=processes)
        asked = Counter(server.prompts)
    assert all(asked[prompt] <= 1 for prompt in right)
    assert len([record for record in seen.measured if record.item is not None]) == len(seen.measured) == 32
    expected = Counter({0: True, 1: True, 2: False, 3: None}[len(prompt) % 4] for prompt in asked if prompt in right)
    assert Counter(graded(record) for record in seen.measured) == expected
    assert accuracy(seen, FACTS) == expected[True] / 32
    assert unreadable_answer_rate(seen, FACTS) == expected[None] / 32
    subjects = by_subject(seen)
    assert not isinstance(subjects, Absent)
    assert {subject: whole for subject, (_, whole) in subjects.items()} == {f"block-{block}": 4 for block in range(8)}
    assert {record.item: record.answer for record in read_records(tmp_path / "run.jsonl") if record.measured} == {
        record.item: record.answer for record in seen.measured
    }
    assert not [problem for problem in problems(seen, TRAFFIC, Expectation(gates=())) if "tokens" in problem], (
        "questions are as long as they are"
    )


def test_a_server_that_dies_in_the_middle_makes_the_run_invalid(tmp_path: Path) -> None:
    with answering_server(lambda _: "A", die_after=20) as server:
        seen = ask(server.url, tmp_path)
    parts = right_of_asked(seen, FACTS)
    assert not isinstance(parts, Absent)
    assert parts[0] < parts[1]
    failed = [record for record in seen.measured if record.error is not None]
    assert failed
    assert {graded(record) for record in failed} == {None}
    assert "requests failed" in " ".join(problems(seen, TRAFFIC, Expectation(gates=())))
