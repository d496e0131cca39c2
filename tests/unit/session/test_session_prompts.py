"""A server without a tokenizer is asked what its letters, its template and its turns cost."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import WorkloadError
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.session.prompts import source_for
from pytest_dynperf.workload.prompt_calibrated import CalibratedPrompts
from pytest_dynperf.workload.stream import requests_of
from pytest_dynperf.workload.tokenizer import load_text_tokenizer
from tests.fakes.http_stub import Handler, Server, answer, serving
from tests.fakes.model_directory import add_begin, make_model_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE_TOKENS, TURN_TOKENS = 9, 7
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def count(body: object) -> int:
    """One word is one token; the template takes some, and each turn before the last."""
    assert isinstance(body, dict)
    if "prompt" in body:
        return len(body["prompt"].split()) + 1
    messages = body["messages"]
    words = sum(len(message["content"].split()) for message in messages)
    return words + TEMPLATE_TOKENS + TURN_TOKENS * (len(messages) // 2)


@pytest.fixture
def server() -> Iterator[Server]:
    def answered(handler: Handler) -> None:
        usage = {"prompt_tokens": count(handler.received), "completion_tokens": 1}
        answer({"choices": [{"message": {"content": "x"}}], "usage": usage})(handler)

    with serving() as server:
        server.answers |= {CHAT: answered, TEXT: answered}
        yield server


def test_two_probes_for_a_chat(server: Server) -> None:
    assert source_for(Endpoint(base_url=server.url, model="m"), None, Workload()) == CalibratedPrompts(template_tokens=TEMPLATE_TOKENS)
    assert len(server.seen) == 2


def test_two_more_for_conversations_whose_turns_are_then_exact(server: Server) -> None:
    workload = Workload(kind="conversation", turns=4)
    source = source_for(Endpoint(base_url=server.url, model="m"), None, workload)
    assert len(server.seen) == 4
    traffic = Traffic(isl=40, osl=8, concurrency=1, workload=workload)
    for request in islice(requests_of(traffic, source, seed=1, root=Path()), 8):
        texts = [*(text for turn in request.history for text in turn), request.content]
        assert count({"messages": [{"content": text} for text in texts]}) == request.isl == 40 + 48 * request.turn


def test_text_completions_are_asked_as_such(server: Server) -> None:
    source = source_for(Endpoint(base_url=server.url, model="m", api="completions"), None)
    assert source == CalibratedPrompts(template_tokens=1)
    assert [path for path, _, _ in server.seen] == [TEXT, TEXT]


def test_turns_that_cost_more_each_time(server: Server) -> None:
    def dearer(handler: Handler) -> None:
        assert isinstance(handler.received, dict)
        squared = (len(handler.received["messages"]) // 2) ** 2
        usage = {"prompt_tokens": count(handler.received) + squared, "completion_tokens": 1}
        answer({"choices": [{"message": {"content": "x"}}], "usage": usage})(handler)

    server.answers[CHAT] = dearer
    with pytest.raises(WorkloadError, match=r"8 tokens around a first turn of a conversation and 10 around a second"):
        source_for(Endpoint(base_url=server.url, model="m"), None, Workload(kind="conversation"))


def test_a_tokenizer_is_asked_instead(tmp_path: Path, server: Server) -> None:
    model = make_model_directory(tmp_path / "model")
    for api, overhead in (("chat", 5), ("completions", 1)):
        assert source_for(Endpoint(base_url=server.url, model="m", api=api), model).overhead() == overhead
    assert server.seen == []


@pytest.mark.parametrize("adds", [0, 1, 2])
def test_whether_a_server_adds_special_tokens_to_a_text(tmp_path: Path, server: Server, adds: int) -> None:
    model = make_model_directory(tmp_path / "model")
    add_begin(model)
    bare = load_text_tokenizer(model, special_tokens=False)

    def counts(handler: Handler) -> None:
        assert isinstance(handler.received, dict)
        usage = {"prompt_tokens": bare.count(handler.received["prompt"]) + adds, "completion_tokens": 1}
        answer({"choices": [{"text": "x"}], "usage": usage})(handler)

    server.answers[TEXT] = counts
    endpoint = Endpoint(base_url=server.url, model="m", api="completions")
    if adds == 2:
        with pytest.raises(
            WorkloadError, match=r"counts \d+ tokens for a text that the tokenizer in .* makes \d+ or, with special tokens, \d+ of"
        ):
            source_for(endpoint, model)
    else:
        assert source_for(endpoint, model).overhead() == 1 + adds
        assert source_for(endpoint, model).overhead() == 1 + adds
        assert len(server.seen) == 1, "asked once"


def test_an_endpoint_with_an_extra_body_that_has_no_hash(server: Server) -> None:
    endpoint = Endpoint(base_url=server.url, model="m", extra_body=(("nvext", {"extra_fields": ["timing"]}),))
    assert source_for(endpoint, None) == source_for(endpoint, None) == CalibratedPrompts(template_tokens=TEMPLATE_TOKENS)
    assert len(server.seen) == 2
