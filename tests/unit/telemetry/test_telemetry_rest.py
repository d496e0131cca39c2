"""Engines that have come to rest, that have not, and that do not say, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.telemetry import rest
from pytest_dynperf.telemetry.rest import unrest
from tests.fakes.http_stub import Handler, Server, answer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def endpoint(server: Server) -> Endpoint:
    return Endpoint(base_url=server.url, model="m", metrics_urls=(("worker-0", server.url + "/metrics"),))


def says(*waiting: int) -> Callable[[Handler], None]:
    """How many wait, reading by reading; the last one stays."""
    left = list(waiting)

    def send(handler: Handler) -> None:
        count = left.pop(0) if len(left) > 1 else left[0]
        page = f'vllm:num_requests_running{{m="x"}} 0\nvllm:num_requests_waiting{{m="x"}} {count}\n'
        answer(page.encode(), content_type="text/plain")(handler)

    return send


def test_an_engine_at_rest_is_asked_once(server: Server) -> None:
    server.answers["/metrics"] = says(0)
    assert unrest(endpoint(server)) is None
    assert len(server.seen) == 1


def test_a_queue_is_waited_for(server: Server) -> None:
    server.answers["/metrics"] = says(3, 2, 1, 0)
    assert unrest(endpoint(server)) is None
    assert len(server.seen) == 4


def test_an_engine_that_works_on_is_named(server: Server) -> None:
    server.answers["/metrics"] = says(*range(1000, 0, -1))
    said = unrest(endpoint(server), patience_s=0.5)
    assert said is not None
    assert "running or waiting after 0.5 s: worker-0 99" in said


def test_a_gauge_that_stays_is_no_work(server: Server) -> None:
    server.answers["/metrics"] = says(1)
    assert unrest(endpoint(server), still_s=0.3) is None
    assert len(server.seen) > 1


def test_requests_that_decode_side_by_side_are_work_though_their_number_stays(server: Server) -> None:
    tokens = 0

    def send(handler: Handler) -> None:
        nonlocal tokens
        tokens += 1
        page = f'vllm:num_requests_running{{m="x"}} 64\nvllm:generation_tokens_total{{m="x"}} {tokens}\n'
        answer(page.encode(), content_type="text/plain")(handler)

    server.answers["/metrics"] = send
    said = unrest(endpoint(server), patience_s=0.6, still_s=0.3)
    assert said is not None
    assert "worker-0 64" in said


def test_who_does_not_answer_in_time_is_busy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_TIMEOUT_S", 0.05)

    def hang(handler: Handler) -> None:
        server.released.wait(10)

    server.answers["/metrics"] = hang
    said = unrest(endpoint(server), patience_s=0.3, still_s=0.1)
    server.released.set()
    assert said is not None
    assert "worker-0 does not answer" in said


def test_who_has_gone_stays_as_it_was(server: Server) -> None:
    asked = 0

    def send(handler: Handler) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            answer(b'vllm:num_requests_waiting{m="x"} 3\n', content_type="text/plain")(handler)
        else:
            handler.send_error(503)

    server.answers["/metrics"] = send
    assert unrest(endpoint(server), still_s=0.3) is None
    assert asked > 2


def test_who_does_not_say_is_not_waited_for(server: Server) -> None:
    assert unrest(endpoint(server)) is None  # 404
    server.answers["/metrics"] = answer(b"other 3\n", content_type="text/plain")
    assert unrest(endpoint(server)) is None
    assert unrest(Endpoint(base_url=server.url, model="m")) is None
