"""Arms measured and held against each other, with the real load generator against a scripted server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import pytest

from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.observation.record_file import read_records, run_of
from pytest_dynperf.observation.record_file_writing import write_records
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation, Gate, Parity
from pytest_dynperf.scenario.topology import KvCache, Topology
from pytest_dynperf.scenario.traffic import Traffic, Workload
from pytest_dynperf.session.budget import Budget
from pytest_dynperf.session.caches import MET_BEFORE
from pytest_dynperf.session.conduct import _run_of_pair, check, measure
from pytest_dynperf.session.duet import PairRun
from pytest_dynperf.session.parity import judged_with_parity, note_arm, ready_reference
from pytest_dynperf.verdict.verdict import Outcome
from tests.fakes.sse_server import Behaviour, sse_server
from tests.fakes.standing import StandingDeployments, standing_conduct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.session.conduct import Conduct
    from pytest_dynperf.verdict.arm_parity import ArmParity

GATE = Gate(cell=Cell("inter_token_latency.v1", "p50"), tolerance=0.5)
EXPECTATION = Expectation(
    gates=(GATE,),
    max_send_lag_s=60,
    max_receive_lag_s=60,
    min_in_flight_share=0.01,
    max_uncertain_share=0.99,
    parity=Parity(reference="off", noise="again", texts=True),
)
OFF = Case(
    suite="fake",
    case_id="c1-off",
    question="?",
    platform="test",
    topology=Topology(engine="unknown", model="fake"),
    traffic=Traffic(isl=20, osl=4, concurrency=1, requests=30, warmup_requests=0, temperature=0, keep_text=True),
    expectation=EXPECTATION,
    arm="off",
)
AGAIN = replace(OFF, case_id="c1-again", arm="again")
ON = replace(OFF, case_id="c1-on", arm="on", traffic=replace(OFF.traffic, cache="cold"), reference=OFF, noise=AGAIN)
FINE, OTHER, BROKEN = Behaviour(itl_s=0.001), Behaviour(itl_s=0.001, word="u"), Behaviour(stop_after=1)
CALIBRATION = 2


@dataclass
class Ended:
    outcome: Outcome
    reasons: tuple[str, ...]
    parity: ArmParity | None


def nothing_to_reset(deployment: Deployment, *, tiers: Sequence[str]) -> None:
    del deployment, tiers


def conduct_at(directory: Path, url: str) -> tuple[Conduct, StandingDeployments]:
    """The server counts words, so it is asked as one that somebody else runs."""
    conduct, deployments = standing_conduct(directory, url, attached=True)
    return replace(conduct, reset=nothing_to_reset), deployments


def as_a_test_does(case: Case, conduct: Conduct) -> Ended:
    ready_reference(case, conduct)
    measured = measure(case, conduct)
    note_arm(case, measured, conduct)
    judged, parity = judged_with_parity(case, check(case, measured, conduct), measured, conduct)
    return Ended(judged.verdict.outcome, judged.verdict.reasons, parity)


def runs_in(directory: Path, case: Case) -> list[str]:
    return sorted(run_of(path.name) for path in (directory / "run" / "records" / "fake" / case.case_id).glob("*.jsonl.gz"))


def test_arms_are_asked_the_same_and_their_answers_are_paired(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, deployments = conduct_at(tmp_path, server.url)
        assert as_a_test_does(OFF, conduct).parity is None
        assert as_a_test_does(AGAIN, conduct).parity is None
        found = as_a_test_does(ON, conduct)
        prompts = [request.body["messages"][0]["content"] for request in server.requests]
    assert found.parity is not None, found.reasons
    assert (found.outcome, found.parity.outcome) == (Outcome.NO_BASELINE, Outcome.UNCHANGED), found.reasons
    assert found.parity.texts is not None
    assert found.parity.texts.n == 90
    assert found.parity.texts.noise is not None
    assert found.parity.texts.noise.discordant == 0
    assert len(set(prompts)) == CALIBRATION + 90, "every arm asks what the reference asks"
    assert deployments.started == 2, "the noise has a deployment of its own"


def test_an_arm_alone_has_its_reference_measured_first_and_only_once(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        found = as_a_test_does(ON, conduct)
        again = as_a_test_does(replace(ON, case_id="c1-more", arm="more"), conduct)
    assert found.parity is not None
    assert (found.parity.outcome, found.parity.texts and found.parity.texts.n) == (Outcome.UNCHANGED, 90)
    assert found.parity.notes == ("the noise of nondeterminism is not known: again has not been measured",)
    assert runs_in(tmp_path, OFF) == ["for-on-run-1", "for-on-run-2", "for-on-run-3"]
    assert again.parity is not None
    assert again.parity.records["reference"] == found.parity.records["reference"]


def test_another_text_is_a_regression_although_there_is_no_baseline(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        as_a_test_does(OFF, conduct)
        as_a_test_does(AGAIN, conduct)
        server.behave(*[FINE] * 40, OTHER, FINE)
        found = as_a_test_does(ON, conduct)
    assert found.outcome is Outcome.REGRESSED
    assert found.parity is not None
    (one,) = found.parity.discordant
    assert (one.reference, one.candidate) == (" t0 t1 t2 t3", " u0 u1 u2 u3")
    assert found.reasons[0].startswith("parity with c1-off: 1 of 90 texts differ")


def test_texts_that_differ_wait_for_the_arm_that_repeats_the_reference(tmp_path: Path) -> None:
    """Selected alone: the repeated reference is measured when its word is needed, and decides."""
    with sse_server(*[FINE] * (CALIBRATION + 90), OTHER, *[FINE] * 89, FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        found = as_a_test_does(ON, conduct)
        assert len(server.requests) == CALIBRATION + 3 * 90
    assert found.parity is not None
    assert found.outcome is Outcome.REGRESSED
    assert "differs from itself in none of 90" in found.reasons[0]
    assert runs_in(tmp_path, AGAIN) == ["for-on-run-1", "for-on-run-2", "for-on-run-3"]
    assert found.parity.records["noise"][0].endswith("c1-again/for-on-run-1.jsonl.gz")


def test_a_reference_that_does_not_repeat_itself_either_excuses_an_arm_that_was_measured_first(tmp_path: Path) -> None:
    with sse_server(*[FINE] * (CALIBRATION + 90), *[OTHER] * 9, *[FINE] * 81, *[OTHER] * 9, FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        found = as_a_test_does(ON, conduct)
    assert found.parity is not None
    assert found.parity.outcome is Outcome.INCONCLUSIVE
    assert "differs from itself in 9 of 90" in found.parity.reasons[0]


def test_without_the_arm_that_repeats_the_reference_texts_that_differ_decide_nothing(tmp_path: Path) -> None:
    """No budget for it, or it is invalid."""
    with sse_server(*[FINE] * (CALIBRATION + 90), OTHER, FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        found = as_a_test_does(ON, replace(conduct, budget=Budget(0.0)))
        assert len(server.requests) == CALIBRATION + 2 * 90
        server.behave(OTHER, *[FINE] * 89, BROKEN)
        invalid = as_a_test_does(replace(ON, case_id="c1-most", arm="most"), conduct)
    assert found.parity is not None
    assert found.parity.outcome is Outcome.INCONCLUSIVE
    assert found.parity.reasons[0].endswith("whether the reference repeats itself again is to tell, and it has not been measured")
    assert "c1-again could not be measured: the budget of 0 min is spent" in found.parity.notes[-1]
    assert invalid.parity is not None
    assert invalid.parity.outcome is Outcome.INCONCLUSIVE
    assert "c1-again could not be measured: it is invalid: " in invalid.parity.notes[-1]


def test_a_reference_that_another_process_measures_meanwhile_is_still_there(tmp_path: Path) -> None:
    """Two xdist workers: one has measured the reference for its arm, and the other comes to the reference's own test."""
    with sse_server(FINE) as server:
        ours, theirs = conduct_at(tmp_path, server.url)[0], conduct_at(tmp_path, server.url)[0]
        ready_reference(ON, ours)
        measured = measure(ON, ours)
        ready_reference(OFF, theirs)
        judged, parity = judged_with_parity(ON, check(ON, measured, ours), measured, ours)
        assert parity is not None
        assert (judged.verdict.outcome, parity.outcome) == (Outcome.NO_BASELINE, Outcome.UNCHANGED), parity.reasons
        assert "for-on-run-1" in parity.records["reference"][0]
        asked = len(server.requests)
        ready_reference(replace(ON, case_id="c1-more", arm="more"), ours)
        assert len(server.requests) == asked, "nor is it measured for another arm again"


def test_a_reference_that_is_measured_again_under_the_same_names_is_no_reference_meanwhile(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        as_a_test_does(OFF, conduct)
        ready_reference(OFF, conduct)
        assert as_a_test_does(ON, conduct).parity is not None
    assert "for-on-run-1" in runs_in(tmp_path, OFF), "whoever needs it meanwhile measures it"


def test_answers_of_other_hardware_are_not_compared(tmp_path: Path) -> None:
    """Two GPUs of one host need not be of a kind."""
    with sse_server(FINE) as server:
        conduct, deployments = conduct_at(tmp_path, server.url)
        kinds = ({"gpu.sku": "NVIDIA H100 PCIe", "gpu.count": "1"}, {"gpu.sku": "NVIDIA H100 80GB HBM3", "gpu.count": "2"})
        deployments.keys = iter(kinds)
        as_a_test_does(OFF, conduct)
        deployments.discard()
        found = as_a_test_does(ON, conduct)
    assert found.outcome is Outcome.INVALID
    assert found.reasons[0].endswith("differ by that: gpu.sku is 'NVIDIA H100 PCIe' there and 'NVIDIA H100 80GB HBM3' here")
    assert found.parity is not None
    assert not found.parity.records, "whoever judges again has no files to find them the same by"


def test_a_reference_that_is_asked_other_prompts_is_none(tmp_path: Path) -> None:
    conduct, _ = standing_conduct(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"fake/c2-on and its reference fake/c1-off would be asked other prompts"):
        ready_reference(replace(ON, case_id="c2-on"), conduct)


def test_a_parity_that_no_arm_asks_for_is_refused(tmp_path: Path) -> None:
    conduct, _ = standing_conduct(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"states expect\.parity and is no arm, so that nothing would be compared: set Case\.arm"):
        ready_reference(replace(ON, arm=None), conduct)


def test_a_reference_that_dies_in_the_middle_makes_the_arm_invalid_and_is_not_tried_for_every_arm(tmp_path: Path) -> None:
    with sse_server(*[FINE] * (CALIBRATION + 10), BROKEN) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        with pytest.raises(DeploymentError, match=r"the reference arm c1-off: it is invalid: for-on-run-1: .* requests failed") as caught:
            as_a_test_does(ON, conduct)
        asked = len(server.requests)
        with pytest.raises(DeploymentError) as next_one:
            as_a_test_does(replace(ON, case_id="c1-more", arm="more"), conduct)
        assert len(server.requests) == asked
    assert str(next_one.value) == str(caught.value)


def test_a_reference_whose_own_test_failed_is_measured_once_more(tmp_path: Path) -> None:
    with sse_server(*[FINE] * CALIBRATION, *[BROKEN] * 40, FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        assert as_a_test_does(OFF, conduct).outcome is Outcome.INVALID
        assert as_a_test_does(ON, conduct).parity is not None
    assert "for-on-run-1" in runs_in(tmp_path, OFF)


def test_of_an_arm_that_is_invalid_no_answer_is_compared(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        as_a_test_does(OFF, conduct)
        server.behave(*[FINE] * 10, BROKEN)
        found = as_a_test_does(ON, conduct)
    assert (found.outcome, found.parity) == (Outcome.INVALID, None)
    assert any("requests failed" in reason for reason in found.reasons)


def test_answers_that_are_gone_are_no_pass(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        as_a_test_does(OFF, conduct)
        for name in runs_in(tmp_path, OFF):
            path = conduct.run_directory.records("fake", "c1-off", name)
            write_records(path, [replace(record, answer="") for record in read_records(path)])
        found = as_a_test_does(ON, conduct)
        assert found.outcome is Outcome.INVALID
        assert found.reasons[0] == "parity with c1-off: 90 of 90 answers of the reference have no text: there is nothing to compare"
        path.unlink()
        gone = as_a_test_does(ON, conduct)
    assert gone.outcome is Outcome.INVALID
    assert "cannot read" in gone.reasons[0]


def test_one_server_is_no_two_arms(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        other = replace(ON, topology=replace(OFF.topology, kv_cache=KvCache(connector="lmcache-mp")))
        with pytest.raises(UsageError, match="the arms 'on' and 'off' differ in what is deployed, and --dynperf-endpoint"):
            ready_reference(other, conduct)
    assert server.requests == []


def test_a_reference_that_nobody_knows_or_that_is_skipped_here(tmp_path: Path) -> None:
    conduct, _ = standing_conduct(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(UsageError, match=r"set Case\.reference"):
        ready_reference(replace(ON, reference=None), conduct)
    with pytest.raises(UsageError, match="which is not measured on test: no tiers"):
        ready_reference(replace(ON, reference=replace(OFF, skip="no tiers")), conduct)


# ---- what an earlier run has asked


def ours(directory: Path, url: str) -> tuple[Conduct, StandingDeployments, list[str]]:
    """As if its deployments were our own; the list tells what was emptied."""
    conduct, deployments = standing_conduct(directory, url, attached=True)
    deployments.services = {"server": cast("Service", object())}
    done: list[str] = []

    def reset(deployment: Deployment, *, tiers: Sequence[str]) -> None:
        del deployment
        done.append(" ".join(tiers))

    return replace(conduct, reset=reset), deployments, done


def test_an_arm_that_takes_caches_as_they_are_gets_a_deployment_that_no_arm_was_asked_on(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, deployments, done = ours(tmp_path, server.url)
        measure(OFF, conduct)
        measure(ON, conduct)
        assert deployments.started == 1, "a cold arm finds empty caches, wherever it runs"
        assert done == ["device"] * 3, "before every run"
        measure(replace(OFF, case_id="c1-plain", arm="plain"), conduct)
        assert deployments.started == 2
        measure(replace(OFF, case_id="c2-off"), conduct)
    assert deployments.started == 2, "another point has other prompts"


@pytest.fixture
def lines(tmp_path: Path) -> Case:
    """An arm whose runs all ask the two prompts of a file."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one two three"}\n{"prompt": "four five"}\n', encoding="utf-8")
    workload = Workload(kind="prompts", file="prompts.jsonl")
    return replace(OFF, directory=str(tmp_path), traffic=replace(OFF.traffic, workload=workload))


def test_runs_that_ask_the_same_do_not_meet_in_a_cache(tmp_path: Path, lines: Case) -> None:
    """Nor do two points, nor an arm and the pairs of a suspect before it."""
    with sse_server(FINE) as server:
        conduct, deployments, done = ours(tmp_path, server.url)
        measured = measure(lines, conduct)
        assert (deployments.started, done) == (3, [])
        assert [run.notes for run in measured.measurement.runs] == [(), (), ()]
        measure(replace(lines, case_id="c2-off"), conduct)
        assert deployments.started == 6, "the first run of another point asks the same as well"
        pair = PairRun(name="pair-01-candidate", number=1, prompts="pair-01", source=None, what="pair 1/5", done=0, of=10)
        once = replace(lines, traffic=replace(lines.traffic, runs=1))
        _run_of_pair(once, deployments.restart(once.topology), pair, conduct)
        measure(once, conduct)
        assert deployments.started == 8, "what a pair has asked is known too"
        measure(replace(once, traffic=replace(once.traffic, cache="warm")), conduct)
    assert (deployments.started, done) == (8, []), "warm it is to be"


def test_a_deployment_that_comes_up_elsewhere_is_not_the_same_session(tmp_path: Path, lines: Case) -> None:
    with sse_server(FINE) as server:
        conduct, deployments, _ = ours(tmp_path, server.url)
        deployments.keys = iter(({"gpu.sku": "H100"}, {"gpu.sku": "H200"}))
        with pytest.raises(DeploymentError, match=r"it is not where it was: gpu\.sku is 'H200', was 'H100'"):
            measure(lines, conduct)
    assert runs_in(tmp_path, OFF) == ["run-1"]


def test_caches_that_can_be_emptied_need_no_new_deployment(tmp_path: Path, lines: Case) -> None:
    vllm = replace(lines, topology=replace(lines.topology, engine="vllm"))
    off = replace(vllm, topology=replace(vllm.topology, kv_cache=KvCache(prefix_caching=False)))
    with sse_server(FINE) as server:
        conduct, deployments, done = ours(tmp_path, server.url)
        measure(vllm, conduct)
        assert (deployments.started, done) == (1, ["device"] * 2)
        measure(off, conduct)
    assert (deployments.started, done) == (2, ["device"] * 2), "without caches there is nothing to empty"


def test_of_somebody_elses_server_it_is_said(tmp_path: Path, lines: Case) -> None:
    with sse_server(FINE) as server:
        conduct, deployments = conduct_at(tmp_path, server.url)
        measured = measure(lines, conduct)
    assert deployments.started == 1
    assert [run.notes for run in measured.measurement.runs] == [(), (MET_BEFORE,), (MET_BEFORE,)]


def test_a_warm_arm_is_asked_its_own_requests_once_before(tmp_path: Path) -> None:
    warm = replace(ON, case_id="c1-warm", arm="warm", traffic=replace(OFF.traffic, cache="warm", runs=1))
    with sse_server(FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        measured = measure(warm, conduct)
        prompts = [request.body["messages"][0]["content"] for request in server.requests]
    (run,) = measured.measurement.runs
    assert run.requests == 30
    asked = prompts[-60:]
    assert asked[:30] == asked[30:]


def test_caches_that_were_not_warmed_make_the_run_invalid(tmp_path: Path) -> None:
    warm = replace(ON, case_id="c1-warm", arm="warm", traffic=replace(OFF.traffic, cache="warm", max_failures_in_a_row=100))
    with sse_server(*[FINE] * CALIBRATION, BROKEN, FINE) as server:
        conduct, _ = conduct_at(tmp_path, server.url)
        measured = measure(warm, conduct)
    (discarded,) = measured.measurement.discarded
    assert "1 of 30 requests failed while the caches were warmed" in discarded.problems[0]


def test_caches_that_cannot_be_emptied_end_the_measurement(tmp_path: Path) -> None:
    with sse_server(FINE) as server:
        conduct, _ = standing_conduct(tmp_path, server.url, attached=True)
        with pytest.raises(DeploymentError, match="somebody else runs cannot be reset"):
            measure(ON, conduct)
