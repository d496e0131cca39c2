"""Traffic decides which workload is asked, and with what."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import WORKLOADS, Arrival, Traffic, Workload
from pytest_dynperf.workload.conversation import conversation_requests
from pytest_dynperf.workload.prompt_lengths import Lengths
from pytest_dynperf.workload.shared_prefix import shared_prefix_requests
from pytest_dynperf.workload.stream import requests_of
from pytest_dynperf.workload.synthetic import synthetic_requests
from tests.unit.workload.test_workload_media import PNG

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.workload.prompt import PromptSource
    from pytest_dynperf.workload.request import Request

LENGTHS = Lengths(isl=64, osl=8, isl_stddev=5.0, osl_stddev=2.0)


def asked(source: PromptSource, root: Path, *, number: int = 12, max_isl: int | None = None, **workload: object) -> list[Request]:
    traffic = Traffic(isl=64, osl=8, concurrency=1, workload=Workload(**workload))  # type: ignore[arg-type]
    return list(islice(requests_of(traffic, source, seed=3, root=root, model_max_isl=max_isl), number))


def test_the_default_is_synthetic(source: PromptSource, tmp_path: Path) -> None:
    assert asked(source, tmp_path) == list(islice(synthetic_requests(source, isl=64, osl=8, seed=3), 12))


def test_synthetic_with_spread(source: PromptSource, tmp_path: Path) -> None:
    expected = synthetic_requests(source, isl=64, osl=8, seed=3, isl_stddev=5, osl_stddev=2)
    assert asked(source, tmp_path, isl_stddev=5.0, osl_stddev=2.0) == list(islice(expected, 12))


def test_shared_prefix(source: PromptSource, tmp_path: Path) -> None:
    expected = shared_prefix_requests(source, LENGTHS, prefix_ratio=0.5, prefix_count=2, seed=3)
    got = asked(source, tmp_path, kind="shared-prefix", prefix_ratio=0.5, prefix_count=2, isl_stddev=5.0, osl_stddev=2.0)
    assert got == list(islice(expected, 12))


def test_conversation(source: PromptSource, tmp_path: Path) -> None:
    expected = conversation_requests(source, LENGTHS, turns=3, delay_s=0.5, seed=3)
    got = asked(source, tmp_path, kind="conversation", turns=3, turn_delay_s=0.5, isl_stddev=5.0, osl_stddev=2.0)
    assert got == list(islice(expected, 12))


def test_images_with_a_relative_file(source: PromptSource, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(PNG)
    got = asked(source, tmp_path, kind="images", file="pictures", image_count=2)
    assert [len(request.images) for request in got] == [2] * 12
    assert [replace(request, images=()) for request in got] == asked(source, tmp_path)
    assert asked(source, tmp_path / "elsewhere", kind="images", file=str(tmp_path / "pictures"), image_count=2) == got


def test_a_bad_file_is_found_at_once(source: PromptSource, tmp_path: Path) -> None:
    traffic = Traffic(isl=64, osl=8, concurrency=1, workload=Workload(kind="images", file="gone"))
    with pytest.raises(WorkloadError, match=r"gone cannot be listed"):
        requests_of(traffic, source, seed=3, root=tmp_path)
    with pytest.raises(WorkloadError, match=r"traffic\.workload\.file is missing"):
        requests_of(replace(traffic, workload=Workload(kind="trace")), source, seed=3, root=tmp_path)


def test_a_kind_that_nobody_makes(source: PromptSource, tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="'video'"):
        asked(source, tmp_path, kind="video")


def test_too_long_for_the_model(source: PromptSource, tmp_path: Path) -> None:
    got = asked(source, tmp_path, kind="conversation", turns=3, number=2, max_isl=136)
    assert [request.isl for request in got] == [64, 136]
    with pytest.raises(WorkloadError, match="request 2, turn 2 of its conversation, has 208 tokens, but the model takes prompts of 136"):
        asked(source, tmp_path, kind="conversation", turns=3, max_isl=136)
    assert max(request.isl for request in asked(source, tmp_path, isl_stddev=30.0, max_isl=66, number=40)) == 66


TRACE = "".join(
    f'{{"timestamp": {number * 250}, "input_length": {40 + number}, "output_length": 5, "hash_ids": [1, 2, {3 + number}]}}\n'
    for number in range(4)
)


@pytest.mark.parametrize("kind", ["trace", "conversation"])
def test_a_trace_ends(source: PromptSource, tmp_path: Path, kind: str) -> None:
    (tmp_path / "trace.jsonl").write_text(TRACE)
    workload = Workload(kind=kind, file="trace.jsonl", block_size=16)
    traffic = Traffic(isl=64, osl=8, arrival=Arrival(process="trace"), requests=4, workload=workload)
    got = list(requests_of(traffic, source, seed=3, root=tmp_path))
    assert [(request.isl, request.osl, request.at_s) for request in got] == [(40, 5, 0.0), (41, 5, 0.25), (42, 5, 0.5), (43, 5, 0.75)]
    with pytest.raises(WorkloadError, match="request 1 has 41 tokens"):
        list(requests_of(traffic, source, seed=3, root=tmp_path, model_max_isl=40))


def test_every_kind_of_the_scenario_is_made(source: PromptSource, tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text(TRACE)
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "say a b"}\n')
    row = '{"question": "a?", "subject": "s", "choices": ["1", "2", "3", "4"], "answer": 0}\n'
    (tmp_path / "test.jsonl").write_text(row)
    (tmp_path / "dev.jsonl").write_text(row * 5)
    files = {"trace": "trace.jsonl", "images": ".", "prompts": "prompts.jsonl", "mmlu": "."}
    for kind in WORKLOADS:
        assert asked(source, tmp_path, kind=kind, file=files.get(kind), block_size=16, number=1)


def test_questions_are_chosen_by_subject_and_limit_and_are_the_same_whatever_the_seed(source: PromptSource, tmp_path: Path) -> None:
    workload = Workload(kind="fact-table", subjects=("block-2", "block-5"), limit=3)
    traffic = Traffic(isl=64, osl=8, concurrency=1, workload=workload, requests=6, warmup_requests=2, ignore_eos=False, temperature=0.0)
    one, other = (list(requests_of(traffic, source, seed=seed, root=tmp_path)) for seed in (1, 2))
    assert sorted(request.item or "" for request in one[2:]) == [f"block-{block}/{place}" for block in (2, 5) for place in range(3)]
    assert one[2:] == other[2:]
    assert one[:2] != other[:2], "the warm-up is of random words"


def test_each_run_is_dealt_other_questions(source: PromptSource, tmp_path: Path) -> None:
    workload = Workload(kind="fact-table", subjects=("block-2",), limit=6, deal=True)
    traffic = Traffic(isl=64, osl=8, concurrency=1, workload=workload, requests=3, warmup_requests=0, ignore_eos=False, temperature=0.0)
    runs = [[request.item for request in requests_of(traffic, source, seed=1, root=tmp_path, part=part)] for part in range(2)]
    assert runs == [[f"block-2/{place}" for place in range(3)], [f"block-2/{place}" for place in range(3, 6)]]


@pytest.mark.parametrize(
    "workload",
    [
        Workload(isl_stddev=9, osl_stddev=3),
        Workload(kind="shared-prefix", prefix_ratio=0.5, prefix_count=3, isl_stddev=5),
        Workload(kind="conversation", turns=2, isl_stddev=4, osl_stddev=2),
    ],
    ids=lambda workload: workload.kind,
)
def test_equal_shape_seeds_ask_for_the_same_amounts_in_other_words(source: PromptSource, tmp_path: Path, workload: Workload) -> None:
    def asked_with(seed: int, shape_seed: int | None) -> list[Request]:
        traffic = Traffic(isl=64, osl=8, concurrency=1, workload=workload)
        return list(islice(requests_of(traffic, source, seed=seed, shape_seed=shape_seed, root=tmp_path), 12))

    def shape(requests: list[Request]) -> list[tuple[int, int]]:
        return [(request.isl, request.osl) for request in requests]

    here, there, elsewhere = asked_with(1, 7), asked_with(2, 7), asked_with(1, 8)
    assert shape(here) == shape(there) != shape(elsewhere)
    assert all(one.content != other.content for one, other in zip(here, there, strict=True))
    assert asked_with(7, None) == asked_with(7, 7)


def test_cases_of_one_shape_seed_begin_with_the_same_prefix_at_every_ratio(source: PromptSource, tmp_path: Path) -> None:
    def groups(seed: int, ratio: float) -> list[list[int]]:
        workload = Workload(kind="shared-prefix", prefix_ratio=ratio, prefix_count=3)
        traffic = Traffic(isl=64, osl=8, concurrency=1, workload=workload)
        requests = islice(requests_of(traffic, source, seed=seed, shape_seed=7, root=tmp_path), 20)
        beginnings = [request.content.split()[1:6] for request in requests]
        return [[index for index, words in enumerate(beginnings) if words == first] for first in beginnings]

    assert groups(1, 0.5) == groups(2, 0.7)
    assert len({tuple(group) for group in groups(1, 0.5)}) == 3
