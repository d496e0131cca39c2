"""The rule of success: each condition alone makes a failure, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.observation.completeness import DETAIL_LIMIT, Answer, failure, failure_of
from pytest_dynperf.observation.request_record import Failure, FailureKind

GOOD = Answer(http_status=200, done=True, finish_reason="length", content_chunks=3, completion_tokens=4)
RESET = Failure(kind=FailureKind.CONNECTION, detail="reset")
CANCELLED = Failure(kind=FailureKind.CANCELLED, detail="stopped")


def test_success() -> None:
    assert failure_of(GOOD, osl_requested=4, ignore_eos=True) is None
    assert failure_of(replace(GOOD, completion_tokens=2), osl_requested=4, ignore_eos=False) is None
    assert failure_of(replace(GOOD, completion_tokens=None), osl_requested=4, ignore_eos=False) is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"http_status": 429}, FailureKind.OVERLOADED),
        ({"http_status": 503}, FailureKind.OVERLOADED),
        ({"http_status": 529}, FailureKind.OVERLOADED),
        ({"http_status": 500}, FailureKind.HTTP_STATUS),
        ({"http_status": 204}, FailureKind.HTTP_STATUS),
        ({"error": "gone"}, FailureKind.ERROR_CHUNK),
        ({"interruption": RESET}, FailureKind.CONNECTION),
        ({"malformed": "not JSON"}, FailureKind.MALFORMED),
        ({"done": False}, FailureKind.TRUNCATED),
        ({"content_chunks": 0}, FailureKind.NO_TOKENS),
        ({"finish_reason": None}, FailureKind.NO_FINISH_REASON),
        ({"completion_tokens": 3}, FailureKind.WRONG_LENGTH),
        ({"completion_tokens": None}, FailureKind.WRONG_LENGTH),
        # What the server said comes before what happened to the connection; a cancelled request is nobody's fault.
        ({"http_status": 503, "interruption": RESET}, FailureKind.OVERLOADED),
        ({"error": "gone", "interruption": RESET, "done": False}, FailureKind.ERROR_CHUNK),
        ({"error": "gone", "done": True, "completion_tokens": None}, FailureKind.ERROR_CHUNK),
        ({"http_status": 503, "interruption": CANCELLED}, FailureKind.CANCELLED),
        ({"http_status": None, "interruption": RESET, "done": False}, FailureKind.CONNECTION),
    ],
)
def test_each_reason_alone(changes: dict[str, object], kind: FailureKind) -> None:
    found = failure_of(replace(GOOD, **changes), osl_requested=4, ignore_eos=True)  # type: ignore[arg-type]
    assert found is not None
    assert found.kind is kind


@given(
    st.builds(
        Answer,
        http_status=st.none() | st.integers(0, 1000),
        body_excerpt=st.text(),
        interruption=st.sampled_from([None, RESET, CANCELLED]),
        error=st.none() | st.text(),
        malformed=st.none() | st.text(),
        done=st.booleans(),
        finish_reason=st.none() | st.text(),
        content_chunks=st.integers(-1, 3),
        completion_tokens=st.none() | st.integers(-1, 5),
    ),
    st.integers(-1, 5),
    st.booleans(),
)
def test_it_never_raises(answer: Answer, osl: int, ignore_eos: bool) -> None:
    failure_of(answer, osl_requested=osl, ignore_eos=ignore_eos)


def test_evidence_is_short_and_on_one_line() -> None:
    assert failure(FailureKind.HTTP_STATUS, "a\n  b\r\n").detail == "a b"
    assert len(failure(FailureKind.HTTP_STATUS, "x" * 10_000).detail) == DETAIL_LIMIT
