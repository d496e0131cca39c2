"""lm-eval and our own client ask one server, and agree item by item. The real lm-eval where there is one; a script where it must fail."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.run import run_load
from pytest_dynperf.metrics.accuracy import graded
from pytest_dynperf.scenario.traffic import Traffic, Workload, flaw
from pytest_dynperf.session.lm_eval import VARIABLE, graded_by_lm_eval, lm_eval_python, where_they_differ
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of
from tests.fakes.answering_server import answering_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dynperf.observation.request_record import RequestRecord

needs_lm_eval = pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"needs lm-eval 0.4.13 in an environment of its own; set {VARIABLE} to its executable",
)
SCRIPT = f"""#!{sys.executable}
import sys
if sys.argv[1] == "-c":
    print("0.4.13")
    raise SystemExit
"""


def traffic(requests: int, **workload: object) -> Traffic:
    asked = Traffic(
        isl=40, osl=8, concurrency=4, requests=requests, warmup_requests=4, ignore_eos=False, temperature=0.0,
        workload=Workload(**workload),  # type: ignore[arg-type]
    )  # fmt: skip
    assert flaw(asked) is None
    return asked


def write_set(directory: Path, number: int) -> None:
    for split, asked in (("test", number), ("dev", 2)):
        lines = [
            {"question": f" {split} {subject} {place}? ", "subject": subject, "choices": ["1", "{{2}}", "3 ", "é"], "answer": place % 4}
            for subject in ("world_religions", "law")
            for place in range(asked)
        ]
        (directory / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def our_answers(url: str, asked: Traffic, root: Path, *, api: str = "chat") -> Sequence[RequestRecord]:
    source = CalibratedPrompts(template_tokens=4, turn_tokens=4)
    requests = requests_of(asked, source, seed=1, root=root)
    endpoint = Endpoint(base_url=url, model="tiny", api=api)
    return run_load(endpoint, requests, asked, run="1", seed=1, records_path=None).measured


@needs_lm_eval
@pytest.mark.parametrize(("api", "shots"), [("chat", 2), ("completions", 0)])
def test_they_agree_item_by_item_on_answers_of_every_dress(tmp_path: Path, api: str, shots: int) -> None:
    write_set(tmp_path, 60)
    asked = traffic(120, kind="mmlu", file=".", shots=shots)
    python = lm_eval_python(os.environ)
    with answering_server() as server:
        endpoint = Endpoint(base_url=server.url, model="tiny", api=api)
        theirs = graded_by_lm_eval(python, endpoint, asked, root=tmp_path, directory=tmp_path / "lm-eval")
        their_prompts = set(server.prompts)
        ours = our_answers(server.url, asked, tmp_path, api=api)
    assert where_they_differ(theirs, ours, asked, root=tmp_path) == ()
    assert {record.item for record in ours} == {each.item for each in theirs}
    assert their_prompts <= set(server.prompts[len(their_prompts) :]), "the very same texts were asked"
    grades = Counter(each.correct for each in theirs)
    assert grades == Counter(graded(record) for record in ours)
    assert min(grades[True], grades[False], grades[None]) >= 10, grades


@needs_lm_eval
def test_a_server_that_dies_in_the_middle_is_no_accuracy(tmp_path: Path) -> None:
    write_set(tmp_path, 60)
    python, asked = lm_eval_python(os.environ), traffic(120, kind="mmlu", file=".", shots=0)
    with answering_server(die_after=70) as server, pytest.raises(WorkloadError, match="there is no accuracy") as caught:
        graded_by_lm_eval(python, Endpoint(base_url=server.url, model="tiny"), asked, root=tmp_path, directory=tmp_path / "out")
    assert "ServerDisconnectedError" in str(caught.value), "the evidence is in the text"


def script(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "python"
    path.write_text(SCRIPT + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def run(python: Path, tmp_path: Path, *, deadline_s: float = 60.0) -> None:
    write_set(tmp_path, 2)
    endpoint = Endpoint(base_url="http://127.0.0.1:1", model="tiny", api_key_variable="MY_KEY")
    asked = traffic(4, kind="mmlu", file=".", shots=0)
    graded_by_lm_eval(python, endpoint, asked, root=tmp_path, directory=tmp_path / "out", deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('server gone'); raise SystemExit(1)", "exit status 1: there is no accuracy.*server gone"),
        ("print('WARNING: Could not parse generations: None')", "took what was no answer for one"),
        ("", "0 of 4 items"),
        ("import time; time.sleep(600)", "did not end within 0.5 s"),
    ],
)
def test_without_an_end_there_is_no_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    with pytest.raises(WorkloadError, match=f"(?s){said}"):
        run(script(tmp_path, body), tmp_path, deadline_s=0.5 if "sleep" in body else 60.0)


def test_it_sees_the_key_and_its_files_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    with pytest.raises(WorkloadError, match="0 of 4 items"):
        run(script(tmp_path, "import os; print(os.environ['OPENAI_API_KEY'], len(os.environ['OPENAI_API_KEY']))"), tmp_path)
    assert (tmp_path / "out" / "lm-eval.log").read_text().split() == ["[redacted]", "11"]
    with pytest.raises(UsageError, match="already holds a run"):
        run(script(tmp_path, ""), tmp_path)


def test_an_executable_is_named_and_looked_at(tmp_path: Path) -> None:
    named = {VARIABLE: str(tmp_path / "lm_eval")}
    with pytest.raises(UsageError, match=rf"set {VARIABLE}"):
        lm_eval_python({})
    with pytest.raises(UsageError, match="has no python beside it"):
        lm_eval_python(named)
    for said, found in (("", "no lm-eval"), ("print('0.4.9')", "lm-eval 0.4.9; 0.4.13 is known to work")):
        other = tmp_path / "python"
        other.write_text(f"#!{sys.executable}\n{said}\n")
        other.chmod(0o755)
        with pytest.raises(UsageError, match=found):
            lm_eval_python(named)
    script(tmp_path, "")
    assert lm_eval_python(named) == tmp_path / "python"


def test_random_words_have_no_right_answer(tmp_path: Path) -> None:
    asked, endpoint = Traffic(isl=8, osl=2, concurrency=1), Endpoint(base_url="http://127.0.0.1:1", model="m")
    with pytest.raises(UsageError, match="questions only"):
        graded_by_lm_eval(tmp_path, endpoint, asked, root=tmp_path, directory=tmp_path)
