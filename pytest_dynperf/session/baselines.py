"""What people do with the store apart from measuring: look, compare, accept a finished session, set an anchor, prune.

In: paths and patterns. Out: values for ``report.baseline_text``. Changes files only in :func:`set_anchor` and :func:`prune`; a finished
session is accepted by ``ledger``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.anchor import is_marked, mark
from pytest_dynperf.baseline.found import Found
from pytest_dynperf.baseline.listing import CaseRing, Listing, list_store
from pytest_dynperf.baseline.pooled import pooled_prior
from pytest_dynperf.baseline.replay import as_measurement
from pytest_dynperf.baseline.store import load_anywhere
from pytest_dynperf.baseline.waivers import read_waivers, waivers_path
from pytest_dynperf.environment import differences
from pytest_dynperf.errors import BaselineError, UsageError, nearest
from pytest_dynperf.metrics.definition import Cell
from pytest_dynperf.scenario.expectation import Expectation, Gate
from pytest_dynperf.session.session_files import one_session
from pytest_dynperf.verdict.judge import invalid, judge
from pytest_dynperf.verdict.terms import Terms
from pytest_dynperf.verdict.waive import waive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.measurement.measurement import Measurement
    from pytest_dynperf.report.session_report import CaseResult, SessionReport
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.verdict.verdict import CellVerdict, Verdict

EXPECTATION = Expectation(
    gates=(
        Gate(cell=Cell("output_token_throughput.v1", "value"), tolerance=0.03),
        Gate(cell=Cell("inter_token_latency.v1", "p50"), tolerance=0.03),
        Gate(cell=Cell("time_to_first_token.v1", "p50"), tolerance=0.05),
    )
)
"""What is shown of a document: the gates that scenarios have by default. Its own tolerances stand in the scenario, not in the document."""


# ---- waivers


def waived(verdict: Verdict, case: Case, settings: Settings) -> Verdict:
    """``verdict`` in the light of ``waivers.toml`` beside the baselines. Never raises: a file of waivers that cannot be read makes the
    verdict *invalid*, since nobody knows which regression was meant.
    """
    try:
        waivers = read_waivers(waivers_path(settings.baselines))
    except BaselineError as error:
        return invalid((str(error),), case.expectation)
    today = datetime.strptime(settings.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).date()
    return waive(verdict, case_name=case.name, waivers=waivers, today=today)


# ---- looking


def noise_of(ring: CaseRing, prior_sd: Mapping[str, float]) -> tuple[CellVerdict, ...]:
    """The cells that are gated by default, judged for the newest document against its own ring: ``history`` says how far sessions lie
    apart, ``mde`` which regression the ring finds in a session with as many runs. Only those that the documents hold; one that cannot be
    compared has no ``baseline``, and ``reasons``.
    """
    newest = ring.newest
    found = Found(documents=ring.ring)
    return judge(as_measurement(newest), found, _held(newest), key=newest.key, terms=Terms(prior_sd=prior_sd)).cells


def _held(document: Baseline) -> Expectation:
    gates = tuple(gate for gate in EXPECTATION.gates if all(gate.cell in run.values for run in document.runs))
    return replace(EXPECTATION, gates=gates)


def priors(root: Path, rings: Iterable[CaseRing]) -> dict[str, dict[str, float]]:
    """The pooled prior of each environment that occurs."""
    return {name: pooled_prior(root, name) for name in sorted({ring.environment_name for ring in rings})}


def one_ring(root: Path, case_name: str, environment: str | None) -> CaseRing:
    """The ring that ``case_name`` and ``environment`` (shell patterns) name.

    :raises UsageError: when there is none, or more than one; names what is there.
    :raises BaselineError: when the case cannot be read.
    """
    found = list_store(root, case_name, environment or "*")
    if found.unreadable:
        raise BaselineError(found.unreadable[0])
    if not found.rings and case_name.endswith(".json"):
        msg = f"there is no file {case_name}; dynperf baselines show SUITE/CASE lists the documents of a case"
        raise UsageError(msg)
    if not found.rings:
        names = sorted({ring.case_name for ring in list_store(root).rings})
        msg = f"there is no baseline of {case_name!r} below {root}{nearest(case_name, names)}; dynperf baselines list shows what is there"
        raise UsageError(msg)
    if len(found.rings) > 1:
        shown = ", ".join(f"{ring.case_name} in {ring.environment_name} ({ring.newest.stamp})" for ring in found.rings)
        msg = f"{case_name!r} names {len(found.rings)} rings: {shown}. Name one with SUITE/CASE and --environment, or give a file."
        raise UsageError(msg)
    return found.rings[0]


# ---- comparing two


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison: a document, or a case of a session. ``name`` says which."""

    name: str
    measurement: Measurement
    key: Mapping[str, str]
    provenance: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """``verdict`` judges the second side against the first alone. ``key`` and ``provenance`` hold what differs, as (first, second)."""

    first: str
    second: str
    verdict: Verdict
    key: Mapping[str, tuple[str | None, str | None]]
    provenance: Mapping[str, tuple[str | None, str | None]]


def compare_files(first: Path, second: Path, case_name: str | None) -> Difference:
    """``first`` is a document, ``second`` a document or a session (its directory or ``session.json``), of which ``case_name``, by default
    the document's, is compared. One session is too few to know the noise: what is said of it rests on the prior.

    :raises UsageError: when the session has no such case.
    :raises BaselineError: when a document cannot be read.
    """
    document = load_anywhere(first)
    if second.is_dir() or second.name == "session.json":
        result = _case_of(one_session(second), case_name or f"{document.suite}/{document.case_id}", second)
        other, expectation = _side_of_case(result, second), result.case.expectation
    else:
        theirs = load_anywhere(second)
        other = Side(name=str(second), measurement=as_measurement(theirs), key=theirs.key, provenance=theirs.provenance)
        expectation = _held(document)
    # The keys may differ: that is shown, and it is for the reader to say what the numbers are then worth.
    verdict = judge(other.measurement, Found(documents=(document,)), expectation, key=document.key)
    return Difference(
        first=str(first),
        second=other.name,
        verdict=verdict,
        key=differences(document.key, other.key),
        provenance=differences(document.provenance, other.provenance),
    )


def _case_of(report: SessionReport, name: str, path: Path) -> CaseResult:
    by_name = {result.case.name: result for result in report.results}
    if name not in by_name:
        msg = f"{path} has no case {name!r}{nearest(name, by_name)}; it has {', '.join(sorted(by_name)) or 'none'}. Choose one with --case."
        raise UsageError(msg)
    return by_name[name]


def _side_of_case(result: CaseResult, path: Path) -> Side:
    from pytest_dynperf.baseline.proposal import binding_key

    if result.measurement is None or result.environment is None:
        msg = f"{path}: {result.case.name} is {result.verdict.outcome.text} and has no measurement to compare"
        raise UsageError(msg)
    return Side(
        name=f"{path} {result.case.name}",
        measurement=result.measurement,
        key=binding_key(result.case, result.environment),
        provenance=result.environment.provenance,
    )


# ---- anchor and prune


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """``document`` is the anchor now; ``before`` was it."""

    document: Path
    before: Path | None


def set_anchor(ring: CaseRing, document: Path | None) -> Anchored:
    """Mark a document of the ring's case and key, by default the newest, and take the mark from every other.

    :raises UsageError: when ``document`` is not one of them.
    :raises RunDirectoryError: when the mark cannot be written.
    """
    chosen = ring.entries[-1].path if document is None else document
    if chosen.resolve() not in {entry.path.resolve() for entry in ring.entries}:
        msg = f"{chosen} is not a document of {ring.case_name} in {ring.environment_name}"
        raise UsageError(msg)
    before = None if ring.anchor is None else ring.anchor.path
    own = next(entry.path for entry in ring.entries if entry.path.resolve() == chosen.resolve())
    mark(own, [entry.path for entry in ring.entries])
    return Anchored(document=own, before=before)


def ring_of_document(root: Path, document: Path) -> CaseRing:
    """The ring that a document of the store belongs to, whatever its epoch.

    :raises UsageError: when it does not lie in the store.
    :raises BaselineError: when it, or its case, cannot be read.
    """
    content = load_anywhere(document)
    for ring in list_store(root, f"{content.suite}/{content.case_id}").rings:
        if any(entry.path.resolve() == document.resolve() for entry in ring.entries):
            return ring
    msg = f"{document} does not lie in the store {root}: name its own with --baselines DIR"
    raise UsageError(msg)


def prune(listing: Listing, *, write: bool) -> tuple[Path, ...]:
    """The documents that no comparison uses and no mark keeps; with ``write`` they are deleted. Nothing else is ever touched.

    :raises BaselineError: when a file cannot be deleted.
    """
    unused = [entry.path for ring in listing.rings for entry in ring.unused]
    if not write:
        return tuple(unused)
    gone: list[Path] = []
    for path in unused:
        if is_marked(path):  # since it was read
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            msg = f"{path} cannot be deleted: {error.strerror or error}. {len(gone)} of {len(unused)} documents were deleted before it."
            raise BaselineError(msg) from error
        gone.append(path)
    return tuple(gone)
