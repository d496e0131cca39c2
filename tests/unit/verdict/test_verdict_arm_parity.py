"""One arm against its reference: what is paired, what decides, and that nothing passes because nothing was compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dynperf.scenario.expectation import Parity
from pytest_dynperf.verdict.arm_parity import MOST_NAMED, ArmParity, Reply, compare_arms, with_parity
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from pytest_dynperf.verdict.waive import waive
from tests.fakes.arms import TODAY, WAIVER, answers

PROMISE = Parity(reference="off")


def compare(reference: list[Reply], candidate: list[Reply], promise: Parity = PROMISE, **more: list[Reply]) -> ArmParity:
    return compare_arms(reference, candidate, promise, name="c1-off", **more)


def test_the_same_answers_to_enough_items_pass() -> None:
    found = compare(answers(400), answers(400))
    assert found.outcome is Outcome.UNCHANGED
    assert found.accuracy is not None
    assert (found.accuracy.n, found.accuracy.losses, found.discordant_count) == (400, 0, 0)


def test_the_same_answers_to_few_items_show_nothing() -> None:
    found = compare(answers(50), answers(50))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "would show its absence" in found.reasons[0]


def test_a_loss_regresses_and_every_item_is_named_up_to_a_bound() -> None:
    found = compare(answers(1000), answers(1000, wrong=range(100, 180)))
    assert found.outcome is Outcome.REGRESSED
    assert found.discordant_count == 80
    assert len(found.discordant) == MOST_NAMED
    first = found.discordant[0]
    assert (first.item, first.kind, first.reference, first.candidate) == ("q100", "lost", "A", "B")


def test_an_item_that_several_runs_ask_counts_once_and_by_its_last_answer() -> None:
    """Asked three times, 100 items are still too few; and what only a warm cache spoils shows in the last run."""
    thrice = [replace(reply, run=f"run-{run}") for run in (1, 2, 3) for reply in answers(100)]
    found = compare(thrice, thrice)
    assert (found.outcome, found.accuracy and found.accuracy.n) == (Outcome.INCONCLUSIVE, 100)
    spoilt = [*thrice[:200], *(replace(reply, run="run-3") for reply in answers(100, wrong=range(30)))]
    assert compare(thrice, spoilt).outcome is Outcome.REGRESSED


def test_a_subject_alone_can_be_lost() -> None:
    """30 of 2,000 items lost is 1.5 points by chance or not; 20 of the 40 of one subject is no chance."""
    reference = answers(2000) + answers(40, subject="law", prefix="law")
    candidate = answers(2000) + answers(40, subject="law", prefix="law", wrong=range(15))
    found = compare(reference, candidate)
    assert found.outcome is Outcome.REGRESSED
    assert found.reasons[0] == "law: 15 of 40 items lost and 0 gained, 37.5%, allowed 5.0%"
    assert found.accuracy is not None
    assert found.accuracy.outcome is not Outcome.REGRESSED
    assert [(one.name, one.n, one.losses) for one in found.subjects] == [("facts", 2000, 0), ("law", 40, 15)]


def test_a_subject_that_lost_by_chance_is_none() -> None:
    reference = answers(2000) + answers(40, subject="law", prefix="law")
    candidate = answers(2000) + answers(40, subject="law", prefix="law", wrong=range(3))
    assert compare(reference, candidate).outcome is Outcome.UNCHANGED


def test_fixed_limits_in_place_of_the_bound() -> None:
    fixed = replace(PROMISE, fixed=True)
    assert compare(answers(50), answers(50), fixed).outcome is Outcome.UNCHANGED, "green without having shown anything"
    lost = compare(answers(50), answers(50, wrong=[3]), fixed)
    assert (lost.outcome, lost.reasons) == (Outcome.REGRESSED, ("all subjects together: lost 2.00% of the items, allowed 1.00%",))
    assert compare(answers(50, wrong=[3]), answers(50), fixed).outcome is Outcome.REGRESSED, "a gain is a difference too"


@pytest.mark.parametrize(
    ("reference", "candidate", "words"),
    [
        ([], [], "nothing was compared"),
        (answers(10), [], "the candidate answered no item"),
        ([], answers(10), "the reference answered no item"),
        (answers(10), answers(9), "the candidate did not answer 1 item (q9)"),
        (answers(400), answers(400, unread=range(400)), "400 of 400 answers of the candidate could not be read"),
        (answers(400, unread=range(400)), answers(400, unread=range(400)), "400 of 400 answers of the reference could not be read"),
        (answers(400), answers(400, unread=range(5)), "5 of 400 answers of the candidate could not be read"),
        ([Reply(run="run-1", index=0, text="t0")], [Reply(run="run-1", index=0, text="t0")], "no request of either arm carries an item"),
    ],
)
@pytest.mark.parametrize("fixed", [False, True])
def test_nothing_passes_because_nothing_was_compared(reference: list[Reply], candidate: list[Reply], words: str, fixed: bool) -> None:
    found = compare(reference, candidate, replace(PROMISE, fixed=fixed))
    assert found.outcome is Outcome.INVALID
    assert any(words in reason for reason in found.reasons), found.reasons


def test_nothing_passes_with_texts_either() -> None:
    assert compare([], [], replace(PROMISE, texts=True)).outcome is Outcome.INVALID


def test_texts_and_answers_together_are_as_bad_as_the_worse() -> None:
    promise = replace(PROMISE, texts=True)
    other = [replace(reply, text=f"{reply.text}!") for reply in answers(400)]
    found = compare(answers(400), other, promise)
    assert found.accuracy is not None
    assert found.accuracy.outcome is Outcome.UNCHANGED
    assert found.outcome is Outcome.REGRESSED
    assert "400 of 400 texts differ" in found.reasons[0]
    assert found.discordant[0].item == "run-1 request 0 (q0)"


def test_the_noise_is_that_of_the_reference_and_its_absence_is_said() -> None:
    promise = replace(PROMISE, noise="off-again")
    found = compare(answers(400), answers(400), promise, noise=answers(400, wrong=[1, 2]))
    assert found.accuracy is not None
    assert found.accuracy.noise is not None
    assert (found.accuracy.noise.n, found.accuracy.noise.discordant) == (400, 2)
    without = compare(answers(400), answers(400), promise)
    assert without.outcome is Outcome.UNCHANGED
    assert without.notes == ("the noise of nondeterminism is not known: off-again has not been measured",)
    half = compare(answers(400), answers(400), promise, noise=answers(399))
    assert "did not answer 1 item (q399)" in half.notes[0]


def test_texts_that_differ_wait_for_the_noise_that_was_promised() -> None:
    promise = replace(PROMISE, texts=True, noise="off-again")
    other = [replace(reply, text=f"{reply.text}!") for reply in answers(400)]
    assert compare(answers(400), other, promise).outcome is Outcome.INCONCLUSIVE
    assert compare(answers(400), other, promise, noise=answers(400)).outcome is Outcome.REGRESSED
    lost = compare(answers(400), answers(400, wrong=range(100)), promise)
    assert lost.outcome is Outcome.REGRESSED, "answers that are lost need no noise to be lost"


# ---- the verdict of the case


def verdict(outcome: Outcome) -> Verdict:
    return Verdict(outcome=outcome, cells=(), reasons=("of the cells",))


@pytest.mark.parametrize("performance", list(Outcome))
@pytest.mark.parametrize("answered", [Outcome.UNCHANGED, Outcome.INCONCLUSIVE, Outcome.INVALID, Outcome.REGRESSED])
def test_the_worse_of_both_wins_and_speaks_first(performance: Outcome, answered: Outcome) -> None:
    found = with_parity(verdict(performance), ArmParity(reference="c1-off", outcome=answered, reasons=("of the answers",)))
    assert found.outcome is max(performance, answered)
    assert found.parity is answered
    assert set(found.reasons) == {"of the cells", "parity with c1-off: of the answers"}
    assert found.reasons[0].startswith("parity") == (answered >= performance)


def test_a_waiver_of_a_metric_does_not_cover_lost_answers() -> None:
    lost = with_parity(verdict(Outcome.UNCHANGED), ArmParity(reference="c1-off", outcome=Outcome.REGRESSED, reasons=("lost",)))
    narrow = replace(WAIVER, metric="inter_token_latency.v1")
    assert waive(lost, case_name="suite/c1-warm", waivers=[narrow], today=TODAY).waiver is None
    assert waive(lost, case_name="suite/c1-warm", waivers=[WAIVER], today=TODAY).waiver == WAIVER
