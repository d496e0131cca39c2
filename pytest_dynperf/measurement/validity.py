"""What forbids judging a run: where the instrument or the system left the bounds of the case, the run measured something else.

``None`` in a certificate: the receive lag is missing where stamps are taken in user space (TLS, other platforms), which is no flaw by
itself, but then the lag of the event loop is judged in its place; a missing send lag, rate or number of requests in flight leaves unknown
what was offered, and is one.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from pytest_dynperf.measurement.gpu_validity import gpu_problems
from pytest_dynperf.metrics.accuracy import graded
from pytest_dynperf.metrics.success import successful
from pytest_dynperf.scenario.traffic import ITEM_KINDS

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
        *gpu_problems(recording),
        *_failures(recording, expectation),
        *_counts(recording, valid, traffic),
        *_lengths(valid, traffic),
        *_answers(recording, expectation),
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
    needed = max(30, 4 * traffic.slots) if traffic.arrival.closed else 30
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
    prompts = [(record.isl_requested, record.prompt_tokens) for record in valid if record.prompt_tokens is not None]
    if traffic.workload.kind in {"images", "prompts", *ITEM_KINDS}:
        prompts = []  # how many tokens a picture is, the model decides, and what a given text is, not everybody can count
    wrong = [(asked, counted) for asked, counted in prompts if abs(counted - asked) > _slack(asked)]
    if wrong:
        asked, counted = [asked for asked, _ in wrong], [counted for _, counted in wrong]
        yield (
            f"{_mismatch(prompts, wrong)}{len(wrong)} of {len(valid)} requests have prompt_tokens from {min(counted)} to {max(counted)}, "
            f"asked was ISL {_range(asked)} ± {_slack(min(asked)):g}, chat template included"
        )
    outputs = [
        (record.osl_requested, record.completion_tokens)
        for record in valid
        if record.completion_tokens is not None and record.completion_tokens != record.osl_requested
    ]
    if traffic.ignore_eos and outputs:
        counted = [counted for _, counted in outputs]
        yield (
            f"{len(outputs)} of {len(valid)} requests have completion_tokens from {min(counted)} to {max(counted)}, "
            f"asked was OSL {_range([asked for asked, _ in outputs])} exactly (ignore_eos)"
        )


def _answers(recording: Recording, expectation: Expectation) -> Iterator[str]:
    """What nobody can read is neither right nor wrong, and 0 % right would be said of whoever reads."""
    answered = [record for record in recording.measured if record.item is not None and record.error is None]
    unread = [record.answer or "" for record in answered if graded(record) is None]
    if unread and len(unread) / len(answered) > (allowed := expectation.parity.max_unreadable):
        yield (
            f"{len(unread)} of {len(answered)} answers could not be read ({len(unread) / len(answered):.1%}, allowed {allowed:.1%} by "
            f"expect.parity.max_unreadable): there is no letter A to D in {unread[0][:60]!r}"
        )


def _mismatch(prompts: list[tuple[int, int]], wrong: list[tuple[int, int]]) -> str:
    """What is the same for all prompts is no accident: all are wrong, or all differ by one factor, or by one number of tokens."""
    factor = sum(counted for _, counted in prompts) / sum(asked for asked, _ in prompts)
    more = median(counted - asked for asked, counted in prompts)
    if not (
        len(wrong) == len(prompts)
        or all(abs(counted - factor * asked) <= _slack(asked) for asked, counted in prompts)
        or all(abs(counted - more - asked) <= 1 for asked, counted in prompts)
    ):
        return ""
    return f"the tokenizer does not match the model: the server counts {factor:.3g} times what was asked, {more:+g} tokens at the median; "


def _slack(isl: int) -> float:
    """Tokens by which a server may count a prompt differently: 1 %, but 1 at least."""
    return max(1.0, 0.01 * isl)


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _load(recording: Recording, traffic: Traffic, expectation: Expectation) -> Iterator[str]:
    if not traffic.arrival.closed:
        yield from _schedule(recording, expectation)
        return
    if recording.concurrency != traffic.concurrency:
        yield f"the run was made at concurrency {recording.concurrency}, asked was {traffic.concurrency}"
    found, needed = recording.certificate.mean_in_flight, expectation.min_in_flight_share * traffic.slots
    if found is None:
        yield f"how many requests were in flight is unknown, needed is a mean of {needed:g}"
    elif not found >= needed:
        yield (
            f"{found:.4g} requests were in flight on average, needed are {needed:g} "
            f"({expectation.min_in_flight_share:.0%} of {traffic.concurrency})"
        )


def _schedule(recording: Recording, expectation: Expectation) -> Iterator[str]:
    certificate, measured = recording.certificate, len(recording.measured)
    if certificate.dropped_sends:
        yield f"{certificate.dropped_sends} of {measured} requests were due and not sent, allowed are 0: the load was not the one asked for"
    if measured and not certificate.late_sends / measured <= expectation.max_late_share:
        yield (
            f"{certificate.late_sends} of {measured} requests were sent more than 1 ms late ({certificate.late_sends / measured:.1%}, "
            f"allowed {expectation.max_late_share:.1%})"
        )
    due, done = certificate.scheduled_rate_per_s, certificate.achieved_rate_per_s
    if due is None or done is None:
        yield f"the rate of sending is unknown, needed are {expectation.min_rate_share:.0%} of the scheduled one"
    elif not done >= expectation.min_rate_share * due:
        yield (
            f"{done:.4g} requests/s were sent, needed are {expectation.min_rate_share * due:.4g} "
            f"({expectation.min_rate_share:.0%} of the {due:.4g} that were due)"
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
    loop = certificate.loop_lag_p99_s
    if received is None and loop is not None and not loop <= expectation.max_receive_lag_s:
        yield (
            f"the event loop was late: p99 {loop * 1e3:.3g} ms, allowed {expectation.max_receive_lag_s * 1e3:g} ms; "
            "the stamps are its own, so they are late too"
        )
    uncertain = certificate.uncertain_share
    if uncertain is not None and not uncertain <= expectation.max_uncertain_share:
        yield (
            f"{uncertain:.1%} of the chunks, allowed {expectation.max_uncertain_share:.1%}, came while the load generator was held up and "
            "share the stamp of a later one: when they came is not known"
        )
    if not abs(certificate.clock_step_s) <= MAX_CLOCK_STEP_S:
        yield (
            f"the clock was stepped by {certificate.clock_step_s * 1e3:.3g} ms during the phase, allowed {MAX_CLOCK_STEP_S * 1e3:g} ms: "
            "kernel stamps cannot be trusted"
        )
