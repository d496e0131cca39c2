"""Suspicions: each stage by its own metrics and no other, and recorded changes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.measurement.measurement import Duet, Measurement, Pair, Run
from pytest_dynperf.metrics import server
from pytest_dynperf.metrics.catalogue import MEANINGS, cells
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.quantity import Direction
from pytest_dynperf.verdict.stage import CLIENT_FIRST_TOKEN, EVIDENCE, NO_STAGE, SERVER_FIRST_TOKEN
from pytest_dynperf.verdict.suspect import suspicions
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.verdict import CellVerdict, Outcome, Verdict
from tests.fakes.observations import CERTIFICATE, ITL, THROUGHPUT, TTFT, document_of, measurement_of, run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.verdict.suspicion import Suspicion

    Columns = Mapping[Cell, tuple[float, ...]]


def value(name: str) -> Cell:
    return Cell(f"{name}.v1", "value")


QUEUE_TIME, WAITING, PREEMPTIONS = value("server_queue_time"), value("server_requests_waiting"), value("server_preemptions")
OVERHEAD, ROUTER_HITS, PREFIX_HITS = value("router_overhead"), value("router_hit_rate"), value("prefix_cache_hit_rate")
EXTERNAL_HITS, LMCACHE_HITS = value("external_cache_hit_rate"), value("lmcache_hit_rate")
FRONTEND_ITL, FRONTEND_TTFT = value("frontend_inter_token_latency"), value("frontend_time_to_first_token")
ACCEPTANCE, LENGTH = value("speculation_acceptance_rate"), value("speculation_acceptance_length")
CACHED, TRANSFER_FAILURES = value("cached_token_rate"), value("kv_transfer_failures")
TTFT_MEAN = Cell("time_to_first_token.v1", "mean")

USUAL = {
    THROUGHPUT: 100.0,
    ITL: 0.010,
    TTFT: 0.050,
    TTFT_MEAN: 0.052,
    FRONTEND_TTFT: 0.050,
    FRONTEND_ITL: 0.010,
    OVERHEAD: 0.0004,
    ROUTER_HITS: 0.5,
    QUEUE_TIME: 0.0021,
    WAITING: 1.0,
    value("server_requests_waiting_max"): 3.0,
    PREEMPTIONS: 0.0,
    PREFIX_HITS: 0.6,
    EXTERNAL_HITS: 0.5,
    LMCACHE_HITS: 0.5,
    ACCEPTANCE: 0.7,
    LENGTH: 2.4,
    CACHED: 0.6,
    TRANSFER_FAILURES: 0.0,
}

REGRESSED = Verdict(
    outcome=Outcome.REGRESSED,
    cells=(CellVerdict(cell=TTFT, outcome=Outcome.REGRESSED, decisive=True, tolerance=0.05, candidate=0.060, baseline=0.050),),
    reasons=(),
)


def columns(level: Mapping[Cell, float], jitter: float = 0.0) -> Columns:
    """Three runs that scatter by half a per cent."""
    return {cell: tuple(one * (1 + jitter + step) for step in (-0.005, 0.0, 0.005)) for cell, one in level.items()}


def session(level: Mapping[Cell, float] = USUAL, jitter: float = 0.0) -> Measurement:
    return measurement_of(columns(level, jitter))


def memory(level: Mapping[Cell, float] = USUAL) -> list[Baseline]:
    """Ten sessions that scatter by a per cent."""
    return [document_of(columns(level, (number - 4.5) / 300), number=number) for number in range(10)]


def moved(*names: tuple[Cell, float]) -> dict[Cell, float]:
    return {**USUAL, **dict(names)}


def stages(level: Mapping[Cell, float], *, without: Sequence[Cell] = (), documents: Sequence[Baseline] | None = None) -> list[str]:
    candidate = session({cell: one for cell, one in level.items() if cell not in without})
    known = memory() if documents is None else documents
    return [one.what for one in suspicions(REGRESSED, candidate, known, provenance={}, baseline_provenance={})]


# ---- stages


@pytest.mark.parametrize(
    ("cell", "now", "stage"),
    [
        (QUEUE_TIME, 0.0098, "queue"),
        (WAITING, 9.0, "queue"),
        (value("server_requests_waiting_max"), 12.0, "queue"),
        (PREEMPTIONS, 6.0, "queue"),
        (OVERHEAD, 0.004, "routing"),
        (ROUTER_HITS, 0.3, "routing"),
        (PREFIX_HITS, 0.3, "prefill"),
        (CACHED, 0.3, "prefill"),
        (EXTERNAL_HITS, 0.2, "KV transfer"),
        (TRANSFER_FAILURES, 6.0, "KV transfer"),
        (LMCACHE_HITS, 0.2, "KV transfer"),
        (FRONTEND_TTFT, 0.060, "prefill"),
        (FRONTEND_ITL, 0.0115, "decode"),
        (ITL, 0.0115, "decode"),
        (ACCEPTANCE, 0.5, "decode"),
        (LENGTH, 1.8, "decode"),
        (TTFT_MEAN, 0.062, "client"),  # and the frontend saw nothing of it
    ],
)
def test_a_stage_is_named_when_only_its_metric_moved(cell: Cell, now: float, stage: str) -> None:
    before = USUAL[cell]
    (one,) = suspicions(REGRESSED, session(moved((cell, now))), memory(), provenance={}, baseline_provenance={})
    assert (one.what, one.cell) == (stage, cell)
    assert one.before == pytest.approx(before, rel=0.01)
    assert one.now == pytest.approx(now)
    assert one.delta is None if before == 0 else one.delta is not None and one.delta > 0
    assert "look at" in one.sentence
    assert not any(letter.isdigit() for letter in one.sentence)


@pytest.mark.parametrize("cell", [evidence.cell for evidence in EVIDENCE], ids=str)
def test_better_accuses_nobody(cell: Cell) -> None:
    """The same sizes of change with the direction turned: a metric with the wrong sign would speak here and be silent above."""
    better = USUAL[cell] * (0.6 if MEANINGS[cell.metric].direction is Direction.LOWER_IS_BETTER else 1.35)
    assert stages(moved((cell, better))) == []


def test_nothing_moved() -> None:
    assert stages(USUAL) == []
    for jitter in (-0.01, 0.01):
        assert suspicions(REGRESSED, session(jitter=jitter), memory(), provenance={}, baseline_provenance={}) == ()


def test_effects_accuse_nobody() -> None:
    effects = {value("server_output_token_throughput"): 100.0, value("server_requests_running"): 8.0, value("kv_cache_usage"): 0.5}
    level = {**USUAL, **effects}
    assert stages({**level, **{cell: one * 0.5 for cell, one in effects.items()}}, documents=memory(level)) == []


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.REGRESSED])
def test_without_a_regression_nobody_is_suspected(outcome: Outcome) -> None:
    verdict = replace(REGRESSED, outcome=outcome, cells=(replace(REGRESSED.cells[0], outcome=outcome),))
    found = suspicions(
        verdict, session(moved((QUEUE_TIME, 0.1))), memory(), provenance={"a.version": "2"}, baseline_provenance={"a.version": "1"}
    )
    assert found == ()


def test_later_first_tokens_that_the_queue_explains() -> None:
    """2.1 to 9.8 ms in the queue, and first tokens later by as much: the queue, and not prefill."""
    level = moved((QUEUE_TIME, 0.0098), (FRONTEND_TTFT, 0.0577), (TTFT, 0.0577), (TTFT_MEAN, 0.0597))
    assert stages(level) == ["queue"]


def test_first_tokens_that_were_late_only_at_the_client_while_a_stage_moved() -> None:
    assert stages(moved((QUEUE_TIME, 0.0098), (TTFT, 0.0577), (TTFT_MEAN, 0.0597))) == ["queue"]


def test_later_first_tokens_that_the_queue_explains_in_part() -> None:
    level = moved((QUEUE_TIME, 0.0041), (FRONTEND_TTFT, 0.070), (TTFT, 0.070), (TTFT_MEAN, 0.072))
    assert set(stages(level)) == {"queue", "prefill"}


def test_first_tokens_alone_are_prefill_while_the_gaps_stay() -> None:
    plain = {THROUGHPUT: 100.0, ITL: 0.010, TTFT: 0.050}
    (one,) = suspicions(REGRESSED, session({**plain, TTFT: 0.060}), memory(plain), provenance={}, baseline_provenance={})
    assert (one.what, one.cell) == ("prefill", TTFT)
    assert "of the queues nothing is known" in one.sentence
    (known,) = suspicions(REGRESSED, session(moved((FRONTEND_TTFT, 0.06))), memory(), provenance={}, baseline_provenance={})
    assert "more than the queues explain" in known.sentence


def test_later_first_tokens_and_wider_gaps_are_decode() -> None:
    assert stages(moved((ITL, 0.0115), (FRONTEND_ITL, 0.0115), (TTFT, 0.060), (FRONTEND_TTFT, 0.060))) == ["decode"]


def test_later_first_tokens_for_want_of_hits() -> None:
    assert stages(moved((LMCACHE_HITS, 0.1), (FRONTEND_TTFT, 0.060), (TTFT, 0.060), (TTFT_MEAN, 0.062))) == ["KV transfer"]


def test_an_absent_metric_accuses_nobody() -> None:
    """Requests waited longer, and neither side of the queue's metrics is known in full."""
    queue = [evidence.cell for evidence in EVIDENCE if evidence.stage == "queue"]
    slow = moved(*((cell, 20.0) for cell in queue))
    assert stages(slow) == ["queue"]
    assert stages(slow, without=queue) == []
    assert stages(slow, documents=memory({cell: one for cell, one in USUAL.items() if cell not in queue})) == []
    assert stages(slow, documents=[]) == []


def test_a_run_that_lacks_the_metric_silences_it() -> None:
    candidate = measurement_of({**columns(USUAL), QUEUE_TIME: (0.02, 0.02)})
    assert suspicions(REGRESSED, candidate, memory(), provenance={}, baseline_provenance={}) == ()
    broken = measurement_of({**columns(USUAL), QUEUE_TIME: (0.02, 0.02, math.nan)})
    assert suspicions(REGRESSED, broken, memory(), provenance={}, baseline_provenance={}) == ()


def test_another_unit_and_rates_without_parts_are_not_compared() -> None:
    documents = [replace(document, units={**document.units, QUEUE_TIME.metric: "ms"}) for document in memory()]
    assert stages(moved((QUEUE_TIME, 0.0098)), documents=documents) == []
    candidate = session(moved((LMCACHE_HITS, 0.1)))
    partless = replace(candidate, runs=tuple(replace(run, parts={}) for run in candidate.runs))
    assert suspicions(REGRESSED, partless, memory(), provenance={}, baseline_provenance={}) == ()


def test_the_strongest_move_comes_first() -> None:
    assert stages(moved((QUEUE_TIME, 0.0029), (ITL, 0.020)))[0] == "decode"
    assert stages(moved((QUEUE_TIME, 0.0500), (ITL, 0.0108)))[0] == "queue"


def test_a_stage_is_named_once_with_its_strongest_evidence() -> None:
    found = suspicions(REGRESSED, session(moved((QUEUE_TIME, 0.0098), (WAITING, 1.4))), memory(), provenance={}, baseline_provenance={})
    assert [(one.what, one.cell) for one in found] == [("queue", QUEUE_TIME)]


def test_what_is_negligible_on_the_way_explains_nothing() -> None:
    """Ten times the overhead, 90 microseconds of a rise of 10 ms; and a queue that grew from 1 to 30 microseconds."""
    tiny = {**USUAL, OVERHEAD: 0.00001, QUEUE_TIME: 0.000001}
    late = {**tiny, OVERHEAD: 0.0001, QUEUE_TIME: 0.00003, FRONTEND_TTFT: 0.060, TTFT: 0.060, TTFT_MEAN: 0.062}
    assert stages(late, documents=memory(tiny)) == ["prefill"]


def test_noisy_metrics_need_more() -> None:
    noisy = [document_of(columns(USUAL, jitter), number=number) for number, jitter in enumerate((-0.3, 0.3, -0.2, 0.2, 0.0, 0.1, -0.1))]
    level = moved((ITL, 0.0108))
    assert stages(level) == ["decode"]
    assert stages(level, documents=noisy) == []
    pooled = Terms(prior_sd={ITL.metric: 0.2})
    assert suspicions(REGRESSED, session(level), memory()[:1], provenance={}, baseline_provenance={}, terms=pooled) == ()


# ---- the client


def lagging(run: Run, *, send_s: float | None = 1e-4, receive_s: float | None = 1e-5) -> Run:
    return replace(run, certificate=replace(CERTIFICATE, send_lag_p99_s=send_s, receive_lag_p99_s=receive_s))


def duet(
    candidate: Mapping[Cell, float] = USUAL, control: Mapping[Cell, float] = USUAL, *, send_s: float | None = 1e-4, pairs: int = 6
) -> Duet:
    """Pairs whose machine drifts by 3 % from one to the next, both arms alike."""
    return Duet(
        pairs=tuple(
            Pair(
                candidate=lagging(run_of({cell: one * 1.03**index for cell, one in candidate.items()}), send_s=send_s),
                control=lagging(run_of({cell: one * 1.03**index for cell, one in control.items()})),
                candidate_first=index % 2 == 0,
            )
            for index in range(pairs)
        ),
        control="the baseline's image",
    )


def told(found: Duet, candidate: Measurement | None = None, documents: Sequence[Baseline] = ()) -> tuple[Suspicion, ...]:
    return suspicions(REGRESSED, candidate or session(), documents, provenance={}, baseline_provenance={}, duet=found)


STEADY = {cell: one for cell, one in USUAL.items() if MEANINGS[cell.metric].unit.value != "ratio"}


def test_lags_against_the_control() -> None:
    (one,) = told(duet(STEADY, STEADY, send_s=8e-4))
    assert (one.what, one.cell, one.name) == ("client", None, "send lag p99")
    assert (one.before, one.now, one.text_before, one.text_now) == (1e-4, 8e-4, "0.1 ms", "0.8 ms")
    assert one.delta == pytest.approx(math.log(8))
    assert told(duet(STEADY, STEADY)) == told(duet(STEADY, STEADY, send_s=1.1e-4)) == told(duet(STEADY, STEADY, send_s=None)) == ()


def test_lags_without_a_control_are_held_against_the_regression() -> None:
    """The documents hold no certificates. First tokens are 10 ms later: 2.6 ms are noteworthy, 2.4 are not."""
    for lag_s, accused in ((0.0026, True), (0.0024, False)):
        candidate = session()
        late = replace(candidate, runs=tuple(lagging(run, receive_s=lag_s) for run in candidate.runs))
        found = suspicions(REGRESSED, late, memory(), provenance={}, baseline_provenance={})
        assert bool(found) is accused
    assert suspicions(REGRESSED, session(), memory(), provenance={}, baseline_provenance={}) == ()
    both = replace(
        session(moved((QUEUE_TIME, 0.0098))), runs=tuple(lagging(run, send_s=0.005) for run in session(moved((QUEUE_TIME, 0.0098))).runs)
    )
    found = suspicions(REGRESSED, both, memory(), provenance={}, baseline_provenance={})
    assert [(one.what, one.text_before, one.text_now) for one in found] == [("queue", None, None), ("client", None, "5 ms")]


# ---- the duet


def test_a_duet_compares_with_its_control() -> None:
    (one,) = told(duet({**STEADY, QUEUE_TIME: 0.0098}, STEADY))
    assert (one.what, one.cell) == ("queue", QUEUE_TIME)
    assert one.delta == pytest.approx(math.log(9.8 / 2.1))


def test_the_control_goes_before_the_documents() -> None:
    """The machine of today is slower than the documents', both arms alike: nobody is suspected."""
    slower = {cell: one * 1.5 for cell, one in STEADY.items()}
    assert told(duet(slower, slower), session({**USUAL, ITL: 0.015}), memory()) == ()


def test_documents_stand_in_for_what_the_pairs_lack() -> None:
    without = {cell: one for cell, one in STEADY.items() if cell != QUEUE_TIME}
    (one,) = told(duet(without, without), session(moved((QUEUE_TIME, 0.0098))), memory())
    assert one.what == "queue"


@pytest.mark.parametrize("broken", ["problems", "pairs", "one pair"])
def test_a_broken_duet_takes_no_part(broken: str) -> None:
    bad = duet({**STEADY, QUEUE_TIME: 0.0098}, STEADY)
    if broken == "problems":
        bad = replace(bad, problems=("the control is gone",))
    elif broken == "pairs":
        bad = replace(bad, pairs=tuple(replace(pair, control=replace(pair.control, problems=("late",))) for pair in bad.pairs))
    else:
        bad = replace(bad, pairs=bad.pairs[:1])
    assert told(bad, session(), memory()) == ()
    assert [one.what for one in told(bad, session(moved((ITL, 0.0115))), memory())] == ["decode"]


def test_rates_in_a_duet() -> None:
    low = {LMCACHE_HITS: 0.3, ITL: 0.010}
    pairs = tuple(Pair(candidate=run_of(low), control=run_of({**low, LMCACHE_HITS: 0.5}), candidate_first=True) for _ in range(5))
    (one,) = told(Duet(pairs=pairs, control="c"))
    assert (one.what, one.before, one.now) == ("KV transfer", 0.5, 0.3)


# ---- recorded changes


def changes(
    ours: Mapping[str, str], theirs: Mapping[str, str], found: Duet | None = None
) -> list[tuple[str | None, str | None, str | None]]:
    told = suspicions(REGRESSED, session(), memory(), provenance=ours, baseline_provenance=theirs, duet=found)
    assert all(one.what == "recorded change" and one.cell is None for one in told)
    return [(one.name, one.text_before, one.text_now) for one in told]


def test_versions_then_arguments_then_host() -> None:
    ours = {"hostname": "b", "worker.args": "--x 2", "vllm.version": "0.9", "router.mode": "kv", "python": "3.12", "image.digest": "2"}
    theirs = {"hostname": "a", "worker.args": "--x 1", "vllm.version": "0.8", "router.mode": "rr", "python": "3.11", "image.digest": "1"}
    names = [name for name, _, _ in changes(ours, theirs)]
    assert names == ["image.digest", "vllm.version", "router.mode", "worker.args", "hostname", "python"]
    assert changes(ours, theirs)[1] == ("vllm.version", "0.8", "0.9")
    assert changes(ours, ours) == []


def test_what_was_not_recorded_is_no_change_and_what_was_not_given_is() -> None:
    ours = {"engine": "vllm", "worker.args": "--fast", "driver": "580", "endpoint.version": "unknown: the endpoint does not say"}
    theirs = {"engine": "vllm", "dynperf.set": "traffic.osl=3", "kernel": "6.1", "endpoint.version": "1"}
    assert changes(ours, theirs) == [("dynperf.set", "traffic.osl=3", None), ("worker.args", None, "--fast")]
    assert changes(ours, {}) == changes({}, theirs) == []


def test_stages_come_before_recorded_changes() -> None:
    found = suspicions(
        REGRESSED, session(moved((ITL, 0.0115))), memory(), provenance={"a.version": "2"}, baseline_provenance={"a.version": "1"}
    )
    assert [one.what for one in found] == ["decode", "recorded change"]
    assert "the newest baseline" in found[1].sentence


def test_the_control_lends_its_provenance() -> None:
    same = replace(duet(STEADY, STEADY), control_provenance={"a.version": "1"})
    assert changes({"a.version": "2"}, {"a.version": "2"}, same) == [("a.version", "1", "2")]
    told = suspicions(REGRESSED, session(), memory(), provenance={"a.version": "2"}, baseline_provenance={}, duet=same)
    assert "the control" in told[0].sentence
    assert changes({"a.version": "2"}, {"a.version": "0"}, replace(same, problems=("gone",))) == [("a.version", "0", "2")]


# ---- the table


def test_every_metric_of_the_services_is_mapped_or_says_why_not() -> None:
    mapped = {evidence.cell.metric for evidence in EVIDENCE} | {cell.metric for cell in SERVER_FIRST_TOKEN}
    assert {definition.id for definition in server.DEFINITIONS} - mapped == set(NO_STAGE)
    assert not mapped & set(NO_STAGE)
    assert all(NO_STAGE.values())


def test_evidence_exists_and_has_a_worse_direction() -> None:
    known = set(cells())
    for cell in (*(evidence.cell for evidence in EVIDENCE), *SERVER_FIRST_TOKEN, *CLIENT_FIRST_TOKEN):
        assert cell in known
        assert MEANINGS[cell.metric].direction is not Direction.NEITHER
    assert {evidence.stage for evidence in EVIDENCE} == {"queue", "routing", "prefill", "decode", "KV transfer"}


def test_the_documentation_names_each_metric_in_the_row_of_its_stage() -> None:
    text = (Path(__file__).parents[3] / "docs" / "decision-rule.md").read_text(encoding="utf-8")
    section = text.split("## Suspicions")[1].split("\n## ")[0]
    rows = {line.split("|")[1].strip(): line for line in section.splitlines() if line.startswith("| ")}
    for evidence in EVIDENCE:
        assert f"`{evidence.cell.metric.removesuffix('.v1')}`" in rows[evidence.stage]
    assert set(rows) == {"stage", "client", *(evidence.stage for evidence in EVIDENCE)}
