"""Prompts of a file come as they are, in their order; what is no such file is refused with its line."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import Traffic, Workload, flaw
from pytest_dynperf.workload.fixed_prompts import read_prompts
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of

SOURCE = CalibratedPrompts(template_tokens=3)
ASKED = Workload(kind="prompts", file="p.jsonl")
SHIPPED = Path(__file__).parents[3] / "suites" / "speculative_decoding" / "prompts.jsonl"


def test_they_come_word_for_word_in_their_order_over_and_over_whatever_the_seed(tmp_path: Path) -> None:
    lines = ('{"prompt": "say a b", "kind": "lists", "author": "x"}', "", '{"prompt": "über 5 €?"}', "")
    (tmp_path / "p.jsonl").write_text("\n".join(lines), encoding="utf-8")
    traffic = Traffic(isl=9, osl=7, concurrency=1, workload=ASKED)
    first, second = (list(islice(requests_of(traffic, SOURCE, seed=seed, root=tmp_path), 5)) for seed in (1, 2))
    assert first == second
    assert [request.content for request in first] == ["say a b", "über 5 €?", "say a b", "über 5 €?", "say a b"]
    assert [request.index for request in first] == [0, 1, 2, 3, 4]
    assert {request.osl for request in first} == {7}
    assert [request.isl for request in first[:2]] == [6, 6], "three words and three tokens of the template"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no prompt"),
        ("\n \n", "holds no prompt"),
        ('{"prompt": "a"}\nnonsense\n', r":2: .*each line is a JSON object"),
        ('{"prompt": 3}', r":1: .*each line is a JSON object"),
        ('{"promt": "a"}', r":1: .*prompt"),
        ('{"prompt": "a"}\n{"prompt": "  "}', ":2: the prompt is empty"),
    ],
)
def test_a_file_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(WorkloadError, match=said) as caught:
        read_prompts(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="cannot be read"):
        read_prompts(tmp_path / "p.jsonl")
    assert "traffic.workload.file is missing" in str(flaw(Traffic(isl=1, osl=2, concurrency=1, workload=Workload(kind="prompts"))))


def test_the_prompts_of_the_suite_differ_and_have_kinds() -> None:
    prompts = read_prompts(SHIPPED)
    assert len(prompts) == len(set(prompts)) >= 40
    assert all(prompt.isascii() for prompt in prompts), "a tiny tokenizer has no more"
