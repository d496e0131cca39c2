"""What was seen of one request. All stamps are integer nanoseconds on CLOCK_MONOTONIC of the load generator's host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FailureKind(Enum):
    """Why a request does not count. A failure is never a latency."""

    CONNECTION = "connection"  # refused, reset, or closed before the response was complete
    TIMEOUT = "timeout"  # total deadline or inter-token deadline passed
    OVERLOADED = "overloaded"  # HTTP 429, 503, 529
    HTTP_STATUS = "http status"  # any other status than 200
    ERROR_CHUNK = "error chunk"  # an `error` object in the stream, even when [DONE] follows
    TRUNCATED = "truncated"  # the stream ended without [DONE]
    NO_TOKENS = "no tokens"  # complete, but no content
    NO_FINISH_REASON = "no finish reason"
    WRONG_LENGTH = "wrong length"  # completion_tokens differ from the OSL although ignore_eos was sent
    MALFORMED = "malformed"  # not HTTP, not SSE, not JSON, or larger than the caps
    CANCELLED = "cancelled"  # the run was stopped while the request was in flight
    DROPPED = "dropped"  # an open loop had as many requests in flight as it may, and did not send this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """``detail`` is the evidence, shortened to 500 characters: the server's text, or the exception."""

    kind: FailureKind
    detail: str


class Stamp(Enum):
    """Where receive stamps were taken."""

    KERNEL = "kernel"  # SO_TIMESTAMPNS, converted to CLOCK_MONOTONIC
    USER = "user"  # in the event loop; late when the loop is late


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request, asked and answered. ``None`` means that it was not seen.

    ``measured`` is false for warm-up and for the load that goes on until the last measured request has ended. ``chunk_ns`` holds one stamp
    per content chunk: non-empty content, reasoning or tool delta; role-only, usage and ``[DONE]`` are not content. ``coalesced`` counts
    content chunks that came in one read with an earlier one and so share its stamp. ``receive_lag_ns`` is the largest difference between
    user and kernel stamp among its reads. ``sent_ns``: when its first byte was handed to the kernel; where no connection was open, when the
    client began to connect, and ``connecting_ns`` is how long that took: the user of a server waits for it, and it is no lateness of the
    client. ``server_ttft_s`` is what the server itself reports (Dynamo's ``nvext.timing``).
    ``first_output_ns`` is the stamp of the first content chunk that is no reasoning. ``chunk_tokens`` holds the tokens of each content
    chunk where the server states usage with every chunk. ``conversation`` and ``turn`` are those of the request, and so are ``item``,
    ``subject`` and ``expected``: which question of a set was asked, its group, and the right answer. ``answer`` is the text that came,
    without reasoning, kept for requests that have an item and where the traffic asks for texts.
    """

    request_id: str
    run: str
    index: int
    measured: bool
    isl_requested: int
    osl_requested: int
    conversation: str | None = None
    turn: int = 0
    scheduled_ns: int
    sent_ns: int | None = None
    first_byte_ns: int | None = None
    chunk_ns: tuple[int, ...] = ()
    chunk_tokens: tuple[int, ...] | None = None
    first_output_ns: int | None = None
    end_ns: int | None = None
    response_id: str | None = None
    http_status: int | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    server_ttft_s: float | None = None
    connection_reused: bool | None = None
    connecting_ns: int | None = None
    stamp: Stamp = Stamp.USER
    coalesced: int = 0
    receive_lag_ns: int | None = None
    error: Failure | None = None
    item: str | None = None
    subject: str | None = None
    expected: str | None = None
    answer: str | None = None
