"""What forbids judging a run: where the instrument or the system left the bounds of the case, the run measured something else.

``None`` in a certificate: the receive lag is missing where stamps are taken in user space (TLS, other platforms), which is no flaw by
itself; a missing send lag or a missing number of requests in flight leaves unknown what was offered, and is one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_dynperf.metrics.success import successful

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dynperf.observation.recording import Certificate, Recording
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.scenario.expectation import Expectation
    from pytest_dynperf.scenario.traffic import Traffic

MAX_CLOCK_STEP_S = 1e-3


def problems(recording: Recording, traffic: Traffic, expectation: Expectation) -> tuple[str, ...]:
    """Sentences for people, what was found and what is allowed in each, the most telling first; empty for a run that may be judged."""
    valid = successful(recording)
    return (
        *recording.incidents,
        *_failures(recording, expectation),
        *_counts(recording, valid, traffic),
        *_lengths(valid, traffic),
        *_load(recording, traffic, expectation),
        *_instrument(recording.certificate, expectation),
    )


def _failures(recording: Recording, expectation: Expectation) -> Iterator[str]:
    measured = recording.measured
    errors = [record.error for record in measured if record.error is not None]
    if not errors or len(errors) / len(measured) <= expectation.max_error_share:
        return
    kind, times = Counter(error.kind for error in errors).most_common(1)[0]
    detail = next(error.detail for error in errors if error.kind is kind)
    yield (
        f"{len(errors)} of {len(measured)} requests failed ({len(errors) / len(measured):.1%}, allowed {expectation.max_error_share:.1%}); "
        f"most often: {kind.value} ({times} times): {detail}"
    )


def _counts(recording: Recording, valid: tuple[RequestRecord, ...], traffic: Traffic) -> Iterator[str]:
    needed = max(30, 4 * traffic.concurrency)
    if len(recording.measured) < needed:
        yield (
            f"{len(recording.measured)} requests were measured, needed are {needed}: the larger of 30 and 4 × concurrency "
            f"(the case asks for {traffic.request_count})"
        )
    if not recording.duration_s > 0:
        yield f"the phase window is {recording.duration_s} s long, it must be longer than 0"
    unstamped = sum(record.sent_ns is None or not record.chunk_ns for record in valid)
    if unstamped:
        yield f"{unstamped} of {len(valid)} successful requests lack the stamp of their sending or of their content, allowed are 0"


def _lengths(valid: tuple[RequestRecord, ...], traffic: Traffic) -> Iterator[str]:
    without = sum(record.prompt_tokens is None or record.completion_tokens is None for record in valid)
    if without:
        yield f"{without} of {len(valid)} successful requests have no usage (prompt_tokens, completion_tokens), allowed are 0"
    slack = max(1.0, 0.01 * traffic.isl)
    prompts = [r.prompt_tokens for r in valid if r.prompt_tokens is not None and abs(r.prompt_tokens - traffic.isl) > slack]
    if prompts:
        yield (
            f"{len(prompts)} of {len(valid)} requests have prompt_tokens from {min(prompts)} to {max(prompts)}, "
            f"asked was ISL {traffic.isl} ± {slack:g}, chat template included"
        )
    outputs = [r.completion_tokens for r in valid if r.completion_tokens is not None and r.completion_tokens != traffic.osl]
    if traffic.ignore_eos and outputs:
        yield (
            f"{len(outputs)} of {len(valid)} requests have completion_tokens from {min(outputs)} to {max(outputs)}, "
            f"asked was OSL {traffic.osl} exactly (ignore_eos)"
        )


def _load(recording: Recording, traffic: Traffic, expectation: Expectation) -> Iterator[str]:
    if recording.concurrency != traffic.concurrency:
        yield f"the run was made at concurrency {recording.concurrency}, asked was {traffic.concurrency}"
    found, needed = recording.certificate.mean_in_flight, expectation.min_in_flight_share * traffic.concurrency
    if found is None:
        yield f"how many requests were in flight is unknown, needed is a mean of {needed:g}"
    elif not found >= needed:
        yield (
            f"{found:.4g} requests were in flight on average, needed are {needed:g} "
            f"({expectation.min_in_flight_share:.0%} of {traffic.concurrency})"
        )


def _instrument(certificate: Certificate, expectation: Expectation) -> Iterator[str]:
    # "not <=" rather than ">": a NaN is a flaw as well.
    sent, received = certificate.send_lag_p99_s, certificate.receive_lag_p99_s
    if sent is None:
        yield f"the send lag is unknown, allowed is a p99 of {expectation.max_send_lag_s * 1e3:g} ms"
    elif not sent <= expectation.max_send_lag_s:
        yield (
            f"requests were sent late: p99 {sent * 1e3:.3g} ms, allowed {expectation.max_send_lag_s * 1e3:g} ms "
            "(the load generator was held up)"
        )
    if received is not None and not received <= expectation.max_receive_lag_s:
        yield (
            f"chunks were read late: p99 {received * 1e3:.3g} ms after the kernel had them, "
            f"allowed {expectation.max_receive_lag_s * 1e3:g} ms (the load generator was held up)"
        )
    if not abs(certificate.clock_step_s) <= MAX_CLOCK_STEP_S:
        yield (
            f"the clock was stepped by {certificate.clock_step_s * 1e3:.3g} ms during the phase, allowed {MAX_CLOCK_STEP_S * 1e3:g} ms: "
            "kernel stamps cannot be trusted"
        )
