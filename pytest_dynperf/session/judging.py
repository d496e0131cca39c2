"""A session of runs, and the verdict on it: what every way of getting at runs shares, whether they were measured here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.pooled import pooled_prior
from pytest_dynperf.baseline.proposal import binding_key
from pytest_dynperf.baseline.store import read
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.catalogue import MEANINGS
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.suspect import suspicions
from pytest_dynperf.verdict.terms import CATALOGUE_TERMS, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.environment import Environment
    from pytest_dynperf.measurement.measurement import Duet, Measurement
    from pytest_dynperf.metrics.definition import Meaning
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.verdict.suspicion import Suspicion
    from pytest_dynperf.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A session of runs with what it ran on. ``environment`` is ``None`` where nothing could be deployed."""

    measurement: Measurement
    environment: Environment | None
    records: tuple[str, ...]
    logs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict and what it was made of. ``confirmation`` is a fresh session, ``duet`` the pairs with their ``records`` and ``logs``."""

    verdict: Verdict
    confirmation: Measured | None
    baseline_provenance: Mapping[str, str]
    terms: Terms = CATALOGUE_TERMS
    documents: tuple[Baseline, ...] = ()
    duet: Duet | None = None
    records: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()


def suspicions_of(judged: Judged, measured: Measured | None) -> tuple[Suspicion, ...]:
    """Where a regression may come from, by the measurement that decided it."""
    decisive = judged.confirmation or measured
    if decisive is None or decisive.environment is None:
        return ()
    return suspicions(
        judged.verdict,
        decisive.measurement,
        judged.documents,
        provenance=decisive.environment.provenance,
        baseline_provenance=judged.baseline_provenance,
        duet=judged.duet,
        terms=judged.terms,
    )


def terms_for(
    baselines: Path, environment: Environment | None, *, duet: bool, session_id: str, meanings: Mapping[str, Meaning] = MEANINGS
) -> Terms:
    """What cases of ``environment`` are judged on: the scatter of the platform's own history, where there is one, in place of the guesses
    of the catalogue. The store is read once for a session and environment. ``duet``: a control can run. ``meanings``: of every metric
    that may be judged.
    """
    if environment is None:
        return replace(CATALOGUE_TERMS, duet=duet, meanings=meanings)
    return Terms(meanings=meanings, prior_sd=prior_of(baselines, environment.name, session_id), duet=duet)


@lru_cache(maxsize=16)
def prior_of(baselines: Path, environment_name: str, session_id: str) -> Mapping[str, float]:
    """:func:`~pytest_dynperf.baseline.pooled.pooled_prior`, which reads every document of an environment, once a session."""
    del session_id  # part of what is remembered: what one session accepts, the next one of this process knows
    return pooled_prior(baselines, environment_name)


def first_look(case: Case, measured: Measured, baselines: Path, terms: Terms = CATALOGUE_TERMS) -> tuple[Verdict, tuple[Baseline, ...]]:
    """The verdict of the first session, and the documents that it was compared with, oldest first. Never raises: a baseline that cannot
    be read makes the verdict *invalid*.
    """
    if measured.environment is None:
        return invalid(measured.measurement.problems, case.expectation), ()
    key = binding_key(case, measured.environment)
    try:
        found = read(baselines, suite=case.suite, case_id=case.case_id, key=key)
    except BaselineError as error:
        return invalid((str(error),), case.expectation), ()
    return judge(measured.measurement, found, case.expectation, key=key, terms=terms), found.documents
