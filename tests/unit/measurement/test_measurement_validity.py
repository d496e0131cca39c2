"""Each bound, with a planted defect beside the value that just passes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.validity import problems
from pytest_dynperf.observation.recording import Certificate, Recording
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord
from pytest_dynperf.scenario.traffic import Arrival, Traffic, Workload
from tests.fakes.observations import CERTIFICATE, EXPECTATION, TRAFFIC, failed, record, recording

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = tuple(record(index) for index in range(32))


def found(seen: Recording, traffic: Traffic = TRAFFIC) -> tuple[str, ...]:
    return problems(seen, traffic, EXPECTATION)


def certified(**changes: float | None) -> Recording:
    return replace(recording(GOOD), certificate=replace(CERTIFICATE, **changes))  # type: ignore[arg-type]


def with_first(**changes: object) -> Recording:
    return recording((replace(GOOD[0], **changes), *GOOD[1:]))  # type: ignore[arg-type]


def test_a_faultless_run_has_no_problems() -> None:
    assert found(recording(GOOD)) == ()


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"mean_in_flight": 3.8}, True),
        ({"mean_in_flight": 3.79}, False),
        ({"mean_in_flight": None}, False),
        ({"mean_in_flight": float("nan")}, False),
        ({"send_lag_p99_s": 1e-3}, True),
        ({"send_lag_p99_s": 1.1e-3}, False),
        ({"send_lag_p99_s": None}, False),
        ({"receive_lag_p99_s": 1e-3}, True),
        ({"receive_lag_p99_s": 1.1e-3}, False),
        ({"receive_lag_p99_s": None}, True),
        ({"clock_step_s": 1e-3}, True),
        ({"clock_step_s": 2e-3}, False),
        ({"clock_step_s": -2e-3}, False),
        ({"uncertain_share": 0.01}, True),
        ({"uncertain_share": 0.011}, False),
        ({"uncertain_share": float("nan")}, False),
        ({"loop_lag_p99_s": 0.5, "loop_lag_max_s": 0.5}, True),  # stamps are the kernel's
        ({"receive_lag_p99_s": None, "loop_lag_p99_s": 1e-3}, True),
        ({"receive_lag_p99_s": None, "loop_lag_p99_s": 1.1e-3}, False),  # stamps are the loop's own
    ],
)
def test_certificate(changes: dict[str, float | None], good: bool) -> None:
    assert len(found(certified(**changes))) == (0 if good else 1)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"prompt_tokens": 258}, True),  # 1 % of 256 is 2.56
        ({"prompt_tokens": 259}, False),
        ({"prompt_tokens": 253}, False),
        ({"prompt_tokens": None}, False),
        ({"completion_tokens": 4}, False),
        ({"completion_tokens": None}, False),
        ({"sent_ns": None}, False),
        ({"chunk_ns": ()}, False),
    ],
)
def test_records(changes: dict[str, object], good: bool) -> None:
    assert len(found(with_first(**changes))) == (0 if good else 1)


def test_a_short_prompt_may_be_one_token_off() -> None:
    short = [replace(r, isl_requested=20) for r in GOOD]
    assert found(recording([replace(r, prompt_tokens=21) for r in short])) == ()
    assert found(recording([replace(r, prompt_tokens=22) for r in short])) != ()


def test_each_request_is_held_to_what_it_asked_for_itself() -> None:
    spread = [replace(r, isl_requested=100 * r.index + 50, prompt_tokens=100 * r.index + 50, osl_requested=3) for r in GOOD]
    assert found(recording(spread)) == ()  # the case says 256
    (text,) = found(recording([replace(spread[0], prompt_tokens=60), *spread[1:]]))
    assert "1 of 32 requests have prompt_tokens from 60 to 60, asked was ISL 50 ± 1" in text
    assert "tokenizer" not in text
    (text,) = found(recording([replace(spread[0], osl_requested=4), *spread[1:]]))
    assert "completion_tokens from 3 to 3, asked was OSL 4 exactly" in text


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param(lambda asked: asked + 12, id="a template of another size"),
        pytest.param(lambda asked: round(asked * 1.3), id="another vocabulary"),
        pytest.param(lambda asked: round(asked * 0.97), id="nearly the same vocabulary: short prompts are within the slack"),
    ],
)
def test_a_systematic_difference_is_called_what_it_is(counted: Callable[[int], int]) -> None:
    lengths = [20 + 100 * r.index for r in GOOD]
    seen = [replace(r, isl_requested=isl, prompt_tokens=counted(isl)) for r, isl in zip(GOOD, lengths, strict=True)]
    (text,) = found(recording(seen))
    assert text.startswith("the tokenizer does not match the model: the server counts ")


def test_differences_without_a_system_are_not_called_one() -> None:
    seen = [replace(r, isl_requested=256, prompt_tokens=256 + (40 if r.index % 2 else 0)) for r in GOOD]
    (text,) = found(recording(seen))
    assert "tokenizer" not in text
    assert "16 of 32 requests have prompt_tokens from 296 to 296" in text


OPEN = Traffic(isl=256, osl=3, arrival=Arrival(process="poisson", rate_per_s=10.0))


def at_a_rate(**changes: float | None) -> Recording:
    faultless = {"mean_in_flight": 1.0, "scheduled_rate_per_s": 10.0, "achieved_rate_per_s": 10.0}
    return replace(recording(GOOD), concurrency=None, certificate=replace(CERTIFICATE, **faultless | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"mean_in_flight": None}, True),  # an open loop promises a rate, and not how many are in flight
        ({"dropped_sends": 1}, False),
        ({"late_sends": 1}, False),  # of 32
        ({"achieved_rate_per_s": 9.5}, True),
        ({"achieved_rate_per_s": 9.4}, False),
        ({"achieved_rate_per_s": None}, False),
        ({"scheduled_rate_per_s": None}, False),
        ({"achieved_rate_per_s": float("nan")}, False),
    ],
)
def test_an_open_loop(changes: dict[str, float | None], good: bool) -> None:
    assert len(found(at_a_rate(**changes), OPEN)) == (0 if good else 1)


def test_bounds_of_an_open_loop_are_the_scenario_s() -> None:
    lenient = replace(EXPECTATION, max_late_share=0.1, min_rate_share=0.5)
    assert problems(at_a_rate(late_sends=3, achieved_rate_per_s=6.0), OPEN, lenient) == ()
    assert len(problems(at_a_rate(late_sends=4, achieved_rate_per_s=4.0), OPEN, lenient)) == 2


def test_output_length_is_free_where_eos_counts() -> None:
    assert found(with_first(completion_tokens=2), replace(TRAFFIC, ignore_eos=False)) == ()


def test_unmeasured_requests_do_not_count() -> None:
    around = tuple(replace(failed(100 + index), measured=False) for index in range(5))
    assert found(recording((*around, *GOOD))) == ()
    assert len(found(recording((*GOOD[:29], *(replace(r, measured=False) for r in GOOD[29:]))))) == 1


def test_too_few_requests() -> None:
    assert found(recording(GOOD[:30])) == ()
    (text,) = found(recording(GOOD[:29]))
    assert "29" in text
    assert "30" in text
    sixteen = replace(TRAFFIC, concurrency=16)
    full = replace(recording(GOOD * 2), concurrency=16, certificate=replace(CERTIFICATE, mean_in_flight=16.0))
    assert found(full, sixteen) == ()
    assert len(found(replace(full, records=(GOOD * 2)[:63]), sixteen)) == 1


def test_a_failure_that_the_scenario_allows_does_not_make_too_few() -> None:
    one_failed = recording((*GOOD[:29], failed(29)))
    assert problems(one_failed, TRAFFIC, replace(EXPECTATION, max_error_share=0.1)) == ()
    assert len(found(one_failed)) == 1


def test_errors_name_the_most_frequent_kind_with_its_evidence() -> None:
    errors: tuple[RequestRecord, ...] = (
        failed(40, FailureKind.TIMEOUT, "no token for 30 s"),
        failed(41, FailureKind.OVERLOADED, "HTTP 529 busy"),
        failed(42, FailureKind.OVERLOADED, "HTTP 529 busy"),
    )
    text, *others = found(recording((*GOOD, *errors)))
    assert not others
    assert "3 of 35" in text
    assert "8.6%" in text
    assert "allowed 0.0%" in text
    assert "overloaded (2 times): HTTP 529 busy" in text


def test_an_allowed_error_share_is_allowed() -> None:
    lenient = replace(EXPECTATION, max_error_share=0.05)
    assert problems(recording((*GOOD, failed(40))), TRAFFIC, lenient) == ()
    assert problems(recording((*GOOD, *GOOD[:6], failed(40), failed(41))), TRAFFIC, lenient) == ()  # 2 of 40, exactly
    assert len(problems(recording((*GOOD, failed(40), failed(41))), TRAFFIC, lenient)) == 1


def test_incidents_come_first_and_each_is_a_problem() -> None:
    seen = replace(recording((*GOOD, failed(40))), incidents=("the worker went away", "NATS saw nothing"))
    first, second, third = found(seen)
    assert (first, second) == ("the worker went away", "NATS saw nothing")
    assert "failed" in third


def test_other_concurrency_and_empty_window() -> None:
    assert "concurrency 2" in found(replace(recording(GOOD), concurrency=2))[0]
    assert "window" in found(recording(GOOD, window_ms=0))[0]


def test_nothing_measured_is_a_problem() -> None:
    assert found(recording(()))


def test_texts_say_found_and_allowed() -> None:
    for seen in (
        certified(mean_in_flight=2.0),
        certified(send_lag_p99_s=0.5),
        certified(receive_lag_p99_s=0.5),
        certified(clock_step_s=0.5),
        certified(uncertain_share=0.5),
        certified(receive_lag_p99_s=None, loop_lag_p99_s=0.5),
    ):
        (text,) = found(seen)
        assert sum(character.isdigit() for character in text) >= 2, text
        assert "allowed" in text or "needed" in text


def test_certificate_fields_are_all_judged_or_facts() -> None:
    """A new field of the certificate must be given a bound or be listed here as a mere fact."""
    facts = {"coalesced_share", "processes", "loop_lag_max_s"}
    bounded = {"send_lag_p99_s", "receive_lag_p99_s", "mean_in_flight", "clock_step_s", "loop_lag_p99_s", "uncertain_share"}
    bounded |= {"late_sends", "dropped_sends", "achieved_rate_per_s", "scheduled_rate_per_s"}  # in an open loop
    assert set(Certificate.__slots__) == facts | bounded


def test_what_a_picture_counts_is_the_models_affair() -> None:
    pictured = recording([replace(r, prompt_tokens=1000) for r in GOOD])
    assert found(pictured, replace(TRAFFIC, workload=Workload(kind="images", file="pictures"))) == ()
    assert found(pictured) != ()


def test_a_given_text_is_as_long_as_it_is() -> None:
    longer = recording([replace(r, prompt_tokens=1000) for r in GOOD])
    assert found(longer, replace(TRAFFIC, workload=Workload(kind="prompts", file="prompts.jsonl"))) == ()


def answering(*answers: str) -> Recording:
    """Questions to which A is right, and what was answered."""
    return recording(
        tuple(
            replace(GOOD[index % len(GOOD)], index=index, item=f"facts/{index}", subject="facts", expected="A", answer=answer)
            for index, answer in enumerate(answers)
        )
    )


def test_answers_that_nobody_can_read_are_not_wrong_ones() -> None:
    assert found(answering(*["B"] * 200)) == (), "all of them are wrong, and that is an accuracy"
    assert found(answering(*["A"] * 198, "who knows", "")) == ()
    (said,) = found(answering(*["A"] * 197, "who knows", "", "Paris"))
    assert said == (
        "3 of 200 answers could not be read (1.5%, allowed 1.0% by expect.parity.max_unreadable): there is no letter A to D in 'who knows'"
    )
