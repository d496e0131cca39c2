"""What counts as success. In: what was parsed of an answer. Out: the failure, or ``None``. Pure, and never raises.

Success: HTTP 200, no ``error`` object in any chunk, a finish reason, ``[DONE]``, content, and exactly the tokens that were asked for where
``ignore_eos`` holds. ``prompt_tokens`` decides nothing: a migrated request counts its own output as prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_dynperf.observation.request_record import Failure, FailureKind

OVERLOAD_STATUSES = frozenset({429, 503, 529})
"""Statuses by which servers refuse load. Dynamo says 503 or, from 1.6 on, 529."""

DETAIL_LIMIT = 500
"""Characters of evidence that a failure keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was parsed of one answer.

    ``interruption`` is set where the exchange did not come to its end (connection, deadline, cancellation, not HTTP). ``error`` is the text
    of the first ``error`` object in the stream, ``malformed`` says what could not be parsed. ``body_excerpt`` is the beginning of the body.
    """

    http_status: int | None = None
    body_excerpt: str = ""
    interruption: Failure | None = None
    error: str | None = None
    malformed: str | None = None
    done: bool = False
    finish_reason: str | None = None
    content_chunks: int = 0
    completion_tokens: int | None = None


def failure(kind: FailureKind, detail: str) -> Failure:
    """A failure whose detail is on one line and not longer than :data:`DETAIL_LIMIT`."""
    text = " ".join(detail.split())
    return Failure(kind=kind, detail=text if len(text) <= DETAIL_LIMIT else text[: DETAIL_LIMIT - 1] + "…")


def failure_of(answer: Answer, *, osl_requested: int, ignore_eos: bool) -> Failure | None:
    """Why ``answer`` does not count, or ``None`` for a success. Where several reasons hold, what the server said comes first."""
    if answer.interruption is not None and answer.interruption.kind is FailureKind.CANCELLED:
        return answer.interruption
    if answer.http_status is not None and answer.http_status != 200:
        kind = FailureKind.OVERLOADED if answer.http_status in OVERLOAD_STATUSES else FailureKind.HTTP_STATUS
        return failure(kind, f"HTTP {answer.http_status}: {answer.body_excerpt or '(empty body)'}")
    if answer.error is not None:
        return failure(FailureKind.ERROR_CHUNK, answer.error)
    if answer.interruption is not None:
        return answer.interruption
    if answer.malformed is not None:
        return failure(FailureKind.MALFORMED, answer.malformed)
    if not answer.done:
        return failure(FailureKind.TRUNCATED, f"the stream ended without [DONE], after {answer.content_chunks} content chunks")
    return _incomplete(answer, osl_requested, ignore_eos=ignore_eos)


def _incomplete(answer: Answer, osl_requested: int, *, ignore_eos: bool) -> Failure | None:
    if not answer.content_chunks:
        return failure(FailureKind.NO_TOKENS, f"no chunk had content; completion_tokens is {answer.completion_tokens}")
    if answer.finish_reason is None:
        return failure(FailureKind.NO_FINISH_REASON, f"[DONE] after {answer.content_chunks} content chunks, but no finish_reason")
    if ignore_eos and answer.completion_tokens is None:
        return failure(
            FailureKind.WRONG_LENGTH, f"asked for {osl_requested} tokens; the server sent no usage, so nobody knows how many came"
        )
    if ignore_eos and answer.completion_tokens != osl_requested:
        return failure(FailureKind.WRONG_LENGTH, f"asked for {osl_requested} tokens with ignore_eos, got {answer.completion_tokens}")
    return None
