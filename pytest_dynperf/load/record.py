"""An exchange that has ended, as a request record. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.load.sse import StreamContent, read_stream, read_text
from pytest_dynperf.observation.completeness import Answer, failure_of
from pytest_dynperf.observation.request_record import RequestRecord
from pytest_dynperf.secret import NONE, redact

if TYPE_CHECKING:
    from pytest_dynperf.load.connection import Exchange
    from pytest_dynperf.secret import Secrets
    from pytest_dynperf.workload.request import Request


def record_of(
    exchange: Exchange, request: Request, *, request_id: str, run: str, measured: bool, ignore_eos: bool, keep_text: bool = False,
    secrets: Secrets = NONE,
) -> RequestRecord:  # fmt: skip
    """Parse and judge what was captured; what the server says is kept without ``secrets``, and its text only for a request with an item,
    or with ``keep_text``. About 30 µs, and what :func:`~pytest_dynperf.load.sse.read_stream` takes for each chunk;
    :func:`~pytest_dynperf.load.sse.read_text` comes on top where the text is kept.
    """
    stream = exchange.stream
    content = read_stream(stream.pieces) if stream.status == 200 else StreamContent()
    return RequestRecord(
        request_id=request_id,
        run=run,
        index=request.index,
        measured=measured,
        isl_requested=request.isl,
        osl_requested=request.osl,
        conversation=request.conversation,
        turn=request.turn,
        scheduled_ns=exchange.due_ns,
        sent_ns=exchange.sent_ns,
        first_byte_ns=stream.first_byte_ns,
        chunk_ns=tuple(content.chunk_ns),
        chunk_tokens=content.chunk_tokens(),
        first_output_ns=content.first_output_ns,
        end_ns=exchange.end_ns,
        response_id=content.response_id,
        http_status=stream.status,
        finish_reason=content.finish_reason,
        prompt_tokens=content.prompt_tokens,
        completion_tokens=content.completion_tokens,
        cached_tokens=content.cached_tokens,
        server_ttft_s=content.server_ttft_s,
        connection_reused=exchange.reused,
        connecting_ns=exchange.connecting_ns,
        stamp=exchange.stamp,
        coalesced=content.coalesced,
        receive_lag_ns=exchange.largest_lag_ns,
        error=failure_of(_answer(exchange, content, secrets), osl_requested=request.osl, ignore_eos=ignore_eos),
        item=request.item,
        subject=request.subject,
        expected=request.expected,
        answer=redact(read_text(stream.pieces), secrets) if stream.status == 200 and (keep_text or request.item is not None) else None,
    )


def _answer(exchange: Exchange, content: StreamContent, secrets: Secrets) -> Answer:
    return Answer(
        http_status=exchange.stream.status,
        body_excerpt=redact(_excerpt(exchange), secrets, cut=True),
        interruption=exchange.interruption,
        error=_redacted(content.error, secrets),
        malformed=_redacted(_encoding_problem(exchange) or content.malformed, secrets),
        done=content.done,
        finish_reason=content.finish_reason,
        content_chunks=len(content.chunk_ns),
        completion_tokens=content.completion_tokens,
    )


def _redacted(text: str | None, secrets: Secrets) -> str | None:
    return None if text is None else redact(text, secrets, cut=True)


def _excerpt(exchange: Exchange) -> str:
    stream = exchange.stream
    if stream.status is None or stream.status == 200:
        return ""
    location = stream.headers.get("location")
    return f"(redirects to {location}, which is not followed) {stream.body_excerpt()}" if location else stream.body_excerpt()


def _encoding_problem(exchange: Exchange) -> str | None:
    encoding = exchange.stream.headers.get("content-encoding", "identity")
    return None if encoding == "identity" else f"the body is encoded as {encoding!r}, although only identity was accepted"
