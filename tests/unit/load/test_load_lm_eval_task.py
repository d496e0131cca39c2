"""What lm-eval is told, and what is made of its samples: an accuracy only of the whole set, and every difference named."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load.lm_eval_task import Graded, disagreements, environment, read_samples, settings, task_files
from pytest_dynperf.metrics.accuracy import letter_of
from pytest_dynperf.observation.request_record import Failure, FailureKind, RequestRecord
from pytest_dynperf.workload.mmlu import QuestionSet, header_of, local_set, numbered
from tests.fakes.answering_server import DRESSES

ENDPOINT = Endpoint(base_url="http://127.0.0.1:1/", model="tiny", extra_body=(("nvext", {"greed": 1}),))
ROWS = [{"question": f"q{place}?", "subject": "law", "choices": ["1", "2", "3", "4"], "answer": 1} for place in range(3)]
ITEMS = numbered(ROWS)
SET = QuestionSet(items=ITEMS[:2], examples={"law": ITEMS[2:]}, header=True)


def sample(item: str, *, letter: str = "B", text: str = "B", score: float = 1.0) -> str:
    messages = json.dumps([{"role": "user", "content": f"ask {item}"}])
    return json.dumps(
        {
            "doc_id": 0, "doc": {"item": item, "subject": "law"}, "target": "B", "arguments": [[[messages], {"until": []}]],
            "resps": [[text]], "filtered_resps": [letter], "filter": "letter", "exact_match": score,
        }
    )  # fmt: skip


def record(item: str, answer: str | None = "B", **more: object) -> RequestRecord:
    values: dict[str, object] = {
        "request_id": "r", "run": "1", "index": 0, "measured": True, "isl_requested": 1, "osl_requested": 1, "scheduled_ns": 0,
        "item": item, "expected": "B", "subject": "law", "answer": answer,
    }  # fmt: skip
    return RequestRecord(**values | more)  # type: ignore[arg-type]


THEIRS = tuple(Graded(item=item.id, subject="law", correct=True, text="B", prompt=f"ask {item.id}") for item in ITEMS[:2])


def test_a_task_for_each_subject_over_the_items_themselves() -> None:
    files = task_files(SET, "/there", endpoint=ENDPOINT, shots=1, osl=8)
    assert set(files) == {"dynperf_000_law.yaml", "dynperf_000_law.test.jsonl", "dynperf_000_law.dev.jsonl"}
    task = json.loads(files["dynperf_000_law.yaml"])
    assert task["doc_to_text"].split("\n")[-1] == "Answer:"
    assert task["dataset_kwargs"]["data_files"] == {"test": "/there/dynperf_000_law.test.jsonl", "dev": "/there/dynperf_000_law.dev.jsonl"}
    assert (task["num_fewshot"], task["fewshot_config"]) == (1, {"sampler": "first_n"})
    assert task["generation_kwargs"] == {
        "until": ["</s>", "\n"],
        "do_sample": False,
        "temperature": 0,
        "max_gen_toks": 8,
        "nvext": {"greed": 1},
    }
    lines = files["dynperf_000_law.test.jsonl"].splitlines()
    assert [json.loads(line)["item"] for line in lines] == ["law/0", "law/1"]
    assert [json.loads(line)["header"] for line in lines] == ["", ""], "it stands before the first example"
    assert json.loads(files["dynperf_000_law.dev.jsonl"])["header"] == header_of("law")
    bare = task_files(SET, "/there", endpoint=ENDPOINT, shots=0, osl=8)["dynperf_000_law.test.jsonl"]
    assert [json.loads(line)["header"] for line in bare.splitlines()] == [header_of("law")] * 2


def test_the_local_set_is_eight_tasks_without_header_or_examples() -> None:
    files = task_files(local_set(), "/there", endpoint=ENDPOINT, shots=0, osl=3)
    tasks = [json.loads(text) for name, text in files.items() if name.endswith(".yaml")]
    assert len(tasks) == 8
    rows = [json.loads(line) for name, text in files.items() if name.endswith(".jsonl") for line in text.splitlines()]
    assert (len(rows), {row["header"] for row in rows}) == (512, {""})
    assert all("fewshot_split" not in task for task in tasks)


@pytest.mark.parametrize("dress", DRESSES)
def test_the_filters_read_the_letter_that_we_read(dress: str) -> None:
    """Applied here as lm-eval applies them: ``findall``, the first match, the first of its groups that is not empty."""
    text = dress.format("C").split("\n")[0]  # where the server stops
    filters = json.loads(task_files(SET, "/", endpoint=ENDPOINT, shots=0, osl=8)["dynperf_000_law.yaml"])["filter_list"][0]["filter"]
    [line] = re.findall(filters[0]["regex_pattern"], text)[:1]
    found = re.findall(filters[2]["regex_pattern"], line.lstrip())
    read = next((group for group in found[0] if group), None) if found else None
    assert (read or "").upper() == (letter_of(text) or "")


def test_it_asks_at_least_two_at_a_time_and_never_again() -> None:
    told = settings(ENDPOINT, ("law",), tasks="/tasks", output="/out", concurrency=1, request_timeout_s=20)
    assert told["model_args"] == {
        "model": "tiny",
        "base_url": "http://127.0.0.1:1/v1/chat/completions",
        "tokenizer_backend": None,
        "tokenized_requests": False,
        "num_concurrent": 2,
        "max_retries": 1,
        "timeout": 20,
    }
    assert (told["model"], told["tasks"], told["apply_chat_template"]) == ("local-chat-completions", ["dynperf_000_law"], True)
    text = settings(replace(ENDPOINT, api="completions"), ("law",), tasks="/t", output="/o", concurrency=8, request_timeout_s=20)
    assert (text["model"], text["apply_chat_template"]) == ("local-completions", False)


def test_a_key_goes_by_the_environment_and_headers_do_not_go() -> None:
    with pytest.raises(UsageError, match="headers"):
        settings(replace(ENDPOINT, headers=(("X-Key", "v"),)), ("law",), tasks="/t", output="/o", concurrency=2, request_timeout_s=20)
    keyed = replace(ENDPOINT, api_key_variable="MY_KEY")
    seen = environment({"MY_KEY": "sk-1", "OPENAI_API_KEY": "somebody's"}, keyed, cache="/c")
    assert (seen["OPENAI_API_KEY"], seen["HF_DATASETS_OFFLINE"], seen["HF_HUB_OFFLINE"]) == ("sk-1", "1", "1")
    assert "OPENAI_API_KEY" not in environment({"OPENAI_API_KEY": "somebody's"}, ENDPOINT, cache="/c")
    with pytest.raises(UsageError, match="MY_KEY is not set"):
        environment({}, keyed, cache="/c")


def test_samples_are_read_in_the_order_of_the_set() -> None:
    wrong = sample("law/0", letter="A", text="A", score=0.0)
    unreadable = sample("law/1", letter="[invalid]", text="gesan", score=0.0)
    found = read_samples(f"{unreadable}\n{wrong}\n", SET)
    assert [(each.item, each.correct, each.text, each.prompt) for each in found] == [
        ("law/0", False, "A", "ask law/0"),
        ("law/1", None, "gesan", "ask law/1"),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "0 of 2 items"),
        ([sample("law/0")], "1 of 2 items; the first that is missing is law/1"),
        ([sample("law/0"), sample("law/0"), sample("law/1")], "law/0 twice"),
        ([sample("law/0"), sample("law/1"), sample("law/9")], "1 items that were not asked, such as law/9"),
        (["{}"], "no sample of lm-eval"),
        (["{"], "no sample of lm-eval"),
        ([sample("law/0", score=0.5)], "exact_match is 0.5"),
    ],
)
def test_a_part_of_the_set_is_no_accuracy(lines: list[str], said: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        read_samples("\n".join(lines), SET)
    assert said in str(caught.value)


def test_equal_answers_agree() -> None:
    prompts = {item.id: f"ask {item.id}" for item in ITEMS}
    assert disagreements(THEIRS, [record("law/0"), record("law/1"), replace(record("law/1"), item=None)], prompts) == ()


@pytest.mark.parametrize(
    ("ours", "prompt", "why"),
    [
        (record("law/1", "C"), "ask law/1", "answered 'B' to lm-eval and 'C' to us"),
        (record("law/1", "hm"), "ask law/1", "answered 'B' to lm-eval and 'hm' to us"),
        (record("law/1", "B", expected="C"), "ask law/1", "both were answered 'B', and read it differently"),
        (record("law/1", None, error=Failure(kind=FailureKind.CONNECTION, detail="gone")), "ask law/1", "our request failed: connection"),
        (record("law/1"), "ask law/1 ", "the prompts differ"),
    ],
)
def test_every_difference_is_named(ours: RequestRecord, prompt: str, why: str) -> None:
    [found] = disagreements(THEIRS, [record("law/0"), ours], {"law/0": "ask law/0", "law/1": prompt})
    assert found.item == "law/1"
    assert why in found.why


def test_an_item_of_one_alone_is_a_difference() -> None:
    found = disagreements(THEIRS, [record("law/0"), record("law/7")])
    assert [(each.item, each.why) for each in found] == [("law/1", "our own client did not ask it"), ("law/7", "lm-eval did not ask it")]


def test_nothing_agrees_with_nothing() -> None:
    with pytest.raises(WorkloadError, match="lm-eval has no answer"):
        disagreements((), [record("law/0")])
    with pytest.raises(WorkloadError, match="our own client has no answer"):
        disagreements(THEIRS, [])
    with pytest.raises(WorkloadError, match="our own client has 2 answers to item law/0"):
        disagreements(THEIRS, [record("law/0"), record("law/0")])
