"""Identity of texts: one that differs is a finding, unless the reference does not repeat itself either."""

from __future__ import annotations

import pytest

from pytest_dynperf.verdict.texts import judge_texts
from pytest_dynperf.verdict.verdict import Outcome


def arm(n: int, *, other: int = 0, run: str = "run-1", first: int = 0) -> dict[str, str | None]:
    """``n`` texts, ``other`` of them from ``first`` on not what they should be."""
    return {f"{run} request {index}": f"text {index}{'!' if first <= index < first + other else ''}" for index in range(n)}


def test_all_the_same() -> None:
    found = judge_texts(arm(30), arm(30), {})
    assert (found.outcome, found.n, found.differing, found.identical) == (Outcome.UNCHANGED, 30, 0, 1.0)


def test_one_that_differs_is_a_regression_and_named() -> None:
    found = judge_texts(arm(1000), arm(1000, other=1, first=17), {})
    assert found.outcome is Outcome.REGRESSED
    assert found.reasons == ("1 of 1000 texts differ from the reference's: run-1 request 17",)


def test_a_reference_that_repeats_itself_excuses_nothing() -> None:
    found = judge_texts(arm(100), arm(100, other=1), arm(100))
    assert found.outcome is Outcome.REGRESSED
    assert "differs from itself in none of 100" in found.reasons[0]


@pytest.mark.parametrize(
    ("again", "why"),
    [({}, "it has not been measured"), (arm(100, run="run-1-repeated"), "it was asked nothing that the reference was asked")],
)
def test_what_is_named_to_tell_the_noise_is_waited_for(again: dict[str, str | None], why: str) -> None:
    found = judge_texts(arm(100), arm(100, other=100), again, awaited="off-again")
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.reasons[0].endswith(f"whether the reference repeats itself off-again is to tell, and {why}")
    assert judge_texts(arm(100), arm(100, other=1), arm(100), awaited="off-again").outcome is Outcome.REGRESSED
    assert judge_texts(arm(100), arm(100), again, awaited="off-again").outcome is Outcome.UNCHANGED, "what is the same needs no excuse"


@pytest.mark.parametrize(
    ("n", "ours", "itself", "outcome"),
    [
        (5000, 50, 50, Outcome.UNCHANGED),  # shown to be no more than the noise
        (100, 10, 8, Outcome.INCONCLUSIVE),
        (500, 90, 40, Outcome.REGRESSED),
        (5000, 0, 100, Outcome.UNCHANGED),
    ],
)
def test_beside_noise_the_excess_decides(n: int, ours: int, itself: int, outcome: Outcome) -> None:
    found = judge_texts(arm(n), arm(n, other=ours), arm(n, other=itself, first=n - itself))
    assert found.outcome is outcome, found.reasons
    assert found.noise is not None
    assert found.noise.discordant == itself


@pytest.mark.parametrize(
    ("reference", "candidate", "words"),
    [
        ({}, {}, "no text was compared"),
        (arm(3), {}, "no text was compared"),
        (arm(3), arm(3, run="run-1-repeated"), "no text was compared"),
        (arm(3), arm(2), "1 requests were answered by one arm alone (run-1 request 2)"),
        (arm(3), dict.fromkeys(arm(3), ""), "3 of 3 answers of the candidate have no text"),
        (dict.fromkeys(arm(3), ""), dict.fromkeys(arm(3), ""), "3 of 3 answers of the reference have no text"),
        (arm(3), arm(3) | {"run-1 request 1": None}, "1 of 3 answers of the candidate have no text"),
    ],
)
def test_nothing_passes_because_nothing_was_compared(
    reference: dict[str, str | None], candidate: dict[str, str | None], words: str
) -> None:
    found = judge_texts(reference, candidate, {})
    assert found.outcome is Outcome.INVALID
    assert words in found.reasons[0]
    assert found.identical is None


def test_a_reference_that_repeats_next_to_nothing_shows_nothing() -> None:
    reference = {f"run-1 {index}": f"a{index}" for index in range(400)}
    again = {name: f"{text} once more" for name, text in reference.items()}
    garbage = dict.fromkeys(reference, "garbage")
    assert judge_texts(reference, garbage, again).outcome is Outcome.INCONCLUSIVE


def test_a_run_that_one_arm_repeated_is_left_out_and_that_is_said() -> None:
    found = judge_texts(arm(3) | arm(3, run="run-2"), arm(3) | arm(3, other=3, run="run-2-repeated"), {})
    assert (found.outcome, found.n) == (Outcome.UNCHANGED, 3)
    assert found.notes == (
        "only the reference has run-2: its texts are not compared",
        "only the candidate has run-2-repeated: its texts are not compared",
    )
