"""Terms of an environment: read once, from its own history."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import Baseline, BaselineRun
from pytest_dynperf.baseline.pooled import LEAST_DEGREES
from pytest_dynperf.baseline.proposal import binding_key, propose
from pytest_dynperf.baseline.store import write
from pytest_dynperf.environment import Environment
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.session.judging import Judged, Measured, first_look, suspicions_of, terms_for
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.session_reports import a_case, a_measurement, an_environment

if TYPE_CHECKING:
    from pathlib import Path

ITL = Cell("inter_token_latency.v1", "p50")
ENVIRONMENT = Environment(platform="mocker", key={"cpu.count": "2"}, provenance={})


def _history(root: Path, sessions: int) -> None:
    for number in range(sessions):
        value = 0.006 * (1.001 if number % 2 else 1.0)
        run = BaselineRun(values={ITL: value}, distributions={}, requests=30, errors=0, duration_s=1.0)
        document = Baseline(
            suite="suite",
            case_id="c2",
            session_id=f"s{number:02d}",
            stamp=f"202601{number + 1:02d}T000000Z",
            environment_name=ENVIRONMENT.name,
            key={"cpu.count": "2"},
            provenance={},
            units={ITL.metric: "s"},
            runs=(run, run, run),
        )
        write(root, document)


def test_an_unknown_environment_has_the_catalogues_terms(tmp_path: Path) -> None:
    assert terms_for(tmp_path, None, duet=False, session_id="one") == CATALOGUE_TERMS
    assert terms_for(tmp_path, None, duet=True, session_id="one").duet
    assert terms_for(tmp_path, ENVIRONMENT, duet=False, session_id="one").prior_sd == {}


def test_the_platforms_own_history_replaces_the_guess_and_is_read_once(tmp_path: Path) -> None:
    _history(tmp_path, LEAST_DEGREES + 1)
    terms = terms_for(tmp_path, ENVIRONMENT, duet=True, session_id="one")
    assert terms.duet
    assert 0 < terms.prior_sd[ITL.metric] < 0.002
    shutil.rmtree(tmp_path)
    assert terms_for(tmp_path, ENVIRONMENT, duet=False, session_id="one").prior_sd == terms.prior_sd
    assert not terms_for(tmp_path, ENVIRONMENT, duet=False, session_id="one").duet
    assert terms_for(tmp_path, ENVIRONMENT, duet=True, session_id="two").prior_sd == {}, "another session reads the store as it is then"


def test_too_short_a_history_leaves_the_guess(tmp_path: Path) -> None:
    _history(tmp_path, LEAST_DEGREES)
    assert terms_for(tmp_path, ENVIRONMENT, duet=True, session_id="one").prior_sd == {}


def test_a_document_with_a_value_below_zero_makes_its_case_invalid_and_is_not_absent(tmp_path: Path) -> None:
    case, environment = a_case(4), an_environment()
    measured = Measured(measurement=a_measurement(4), environment=environment, records=(), logs=())
    document = propose(
        a_measurement(4),
        case=case,
        environment=environment,
        key=binding_key(case, environment),
        session_id="aaaaaa",
        stamp="20261101T030000Z",
    )
    path = write(tmp_path, document)
    assert first_look(case, measured, tmp_path)[0].outcome is Outcome.UNCHANGED
    text = path.read_text()
    path.write_text(re.sub(r'("inter_token_latency\.v1/p50": )', r"\1-", text, count=1))
    verdict, documents = first_look(case, measured, tmp_path)
    assert (verdict.outcome, documents) == (Outcome.INVALID, ())
    assert path.name in verdict.reasons[0]
    assert "nothing that is measured there is ever below 0" in verdict.reasons[0]


def test_nothing_measured_is_suspected_of_nothing() -> None:
    from pytest_dynperf.measurement.measurement import Measurement

    judged = Judged(verdict=Verdict(outcome=Outcome.REGRESSED, cells=(), reasons=()), confirmation=None, baseline_provenance={})
    nothing = Measured(measurement=Measurement(runs=(), problems=("no",)), environment=None, records=(), logs=())
    assert suspicions_of(judged, None) == ()
    assert suspicions_of(judged, nothing) == ()
