"""The value that every report is made from. It is plain data: ``session.json`` is its image, and reports can be made again from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dynperf.environment import Environment
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of one case. ``measurement`` is the first session of runs, ``confirmation`` the fresh one where a suspect asked for it.
    ``baseline_provenance`` is that of the newest baseline document. ``reproduce`` and ``accept`` are commands. ``records`` and ``logs`` are
    paths relative to the run directory. ``seed`` makes the prompts again.
    """

    case: Case
    node_id: str
    verdict: Verdict
    measurement: Measurement | None
    confirmation: Measurement | None
    environment: Environment | None
    baseline_provenance: Mapping[str, str]
    duration_s: float
    reproduce: str
    accept: str
    records: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    confirmed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One invocation. ``missing`` lists the cases that were collected and not reported: such a session is incomplete. ``interrupted`` says
    by what it was cut short. ``accepted`` lists baseline files that were written (or would be, in a dry run), ``refused`` why one was not.
    """

    session_id: str
    stamp: str
    command: str
    seed: int
    platform: str
    simulated: bool
    results: tuple[CaseResult, ...]
    missing: tuple[str, ...]
    interrupted: str | None
    versions: Mapping[str, str]
    duration_s: float
    baseline_directory: str
    run_directory: str
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every collected case was reported and nothing cut the session short."""
        return not self.missing and self.interrupted is None
