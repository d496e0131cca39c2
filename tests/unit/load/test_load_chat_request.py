"""The bytes of a request, as a server reads them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.errors import UsageError
from pytest_dynperf.load.chat_request import origin_of, request_body, request_head, request_message
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.workload.request import Request

TRAFFIC = Traffic(isl=7, osl=4, concurrency=1)
CHAT = Endpoint(base_url="http://host:1", model="m")
TEXT = Endpoint(base_url="http://host:1/prefix", model="m", api="completions")


def asked(**changes: object) -> Request:
    return Request(**{"index": 3, "content": "hello", "isl": 7, "osl": 4} | changes)  # type: ignore[arg-type]


def body(endpoint: Endpoint, request: Request) -> dict[str, object]:
    found = json.loads(request_body(endpoint, request, TRAFFIC))
    assert isinstance(found, dict)
    return found


def test_earlier_turns_come_first() -> None:
    messages = body(CHAT, asked(history=(("a", "b"), ("c", "d"))))["messages"]
    assert messages == [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"}, {"role": "user", "content": "hello"},
    ]  # fmt: skip


def test_images_stand_before_the_text() -> None:
    messages = body(CHAT, asked(images=("data:image/png;base64,AA", "data:image/png;base64,BB")))["messages"]
    assert messages == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}},
                {"type": "text", "text": "hello"},
            ],
        }
    ]


def test_a_temperature_is_sent_where_one_is_asked_for_and_nobody_else_sets_it() -> None:
    assert "temperature" not in body(CHAT, asked())
    greedy = replace(TRAFFIC, temperature=0.0)
    assert json.loads(request_body(CHAT, asked(), greedy))["temperature"] == 0
    hot = replace(CHAT, extra_body=(("temperature", 1.0),))
    assert json.loads(request_body(hot, asked(), TRAFFIC))["temperature"] == 1
    with pytest.raises(UsageError, match="temperature"):
        request_body(hot, asked(), greedy)
    assert greedy.workload_hash != TRAFFIC.workload_hash


def test_text_completions() -> None:
    sent = body(TEXT, asked())
    assert sent["prompt"] == "hello"
    assert "messages" not in sent
    assert sent["stream"] is True
    assert sent["min_tokens"] == sent["max_tokens"] == 4
    assert request_head(TEXT, origin_of(TEXT)).startswith(b"POST /prefix/v1/completions HTTP/1.1\r\n")
    assert request_head(CHAT, origin_of(CHAT)).startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize(("changes", "what"), [({"history": (("a", "b"),)}, "earlier turns"), ({"images": ("data:x",)}, "images")])
def test_what_text_completions_cannot_hold(changes: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=f"request 3 has {what}, and text completions have no place for them"):
        request_body(TEXT, asked(**changes), TRAFFIC)


def test_an_api_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match="'responses', known are: chat, completions"):
        origin_of(Endpoint(base_url="http://host", model="m", api="responses"))


@pytest.mark.parametrize("name", ["prompt", "messages", "max_tokens"])
def test_the_extra_body_does_not_decide_what_the_traffic_does(name: str) -> None:
    endpoint = Endpoint(base_url="http://host", model="m", extra_body=((name, 1),))
    with pytest.raises(UsageError, match=f"must not set {name}"):
        request_body(endpoint, asked(), TRAFFIC)


def test_the_message() -> None:
    plain = request_message(b"POST / HTTP/1.1\r\nHost: x", b"{}", request_id="ab", conversation=None)
    assert plain == b"POST / HTTP/1.1\r\nHost: x\r\nX-Request-ID: ab\r\nContent-Length: 2\r\n\r\n{}"
    told = request_message(b"POST / HTTP/1.1", b"{}", request_id="ab", conversation="tea\r\nfür 2")
    assert b"\r\nX-Session-ID: tea%0D%0Af%C3%BCr%202\r\n" in told
    with pytest.raises(UsageError, match="X-Session-ID"):
        request_head(Endpoint(base_url="http://host", model="m", headers=(("X-Session-ID", "1"),)), origin_of(CHAT))


def test_an_answer_ends_where_its_request_says_and_nobody_else_does() -> None:
    assert "stop" not in body(CHAT, asked())
    question = replace(asked(), stop=("</s>", "\n"))
    assert json.loads(request_body(CHAT, question, TRAFFIC))["stop"] == ["</s>", "\n"]
    stopping = replace(CHAT, extra_body=(("stop", ["."]),))
    assert json.loads(request_body(stopping, asked(), TRAFFIC))["stop"] == ["."]
    with pytest.raises(UsageError, match="stop"):
        request_body(stopping, question, TRAFFIC)
