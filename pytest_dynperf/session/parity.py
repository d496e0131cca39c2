"""Arms of one point held against their reference: it is measured where this session has not, and answers are read from the record files.

::

    [arms.off] ── records/…-off/run-1.jsonl ──┐
                                              ├─▶ verdict.arm_parity ─▶ ArmParity ─▶ the verdict of …-warm
    [arms.warm] ─ records/…-warm/run-1.jsonl ─┘

Which of an arm's files count is written beside them (``arms/``), so that every process of the session finds them, and a session that goes
on. An arm is held against the files with which it began, whoever measures the reference once more meanwhile.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import CaseTimeout, DeploymentError, DynperfError, LeaseHeld, UnsupportedFaultError, UsageError
from pytest_dynperf.run_directory import write_atomically
from pytest_dynperf.session.conduct import expected_s, in_time, measure
from pytest_dynperf.session.parity_records import parity_of
from pytest_dynperf.session.shared import Noted
from pytest_dynperf.verdict.arm_parity import ArmParity, with_parity
from pytest_dynperf.verdict.verdict import Outcome
from pytest_dynperf.verdict.weigh import flaws

if TYPE_CHECKING:
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.session.conduct import Conduct
    from pytest_dynperf.session.judging import Judged, Measured

SCHEMA = 1
_FOR = "for-"
"""Begins the names of runs that were made because another arm needed them."""

_HARDWARE = ("cpu.model", "gpu.sku", "gpu.memory_gib")


def ready_reference(case: Case, conduct: Conduct) -> None:
    """The arm that ``case`` is held against has been measured in this session; where it has not, it is measured now: deselected, failed, or
    still to come in another xdist worker, it must not be missing.

    :raises DynperfError: when it cannot be measured, is invalid, or is the same server.
    """
    _forget(case, conduct)
    parity = case.expectation.parity
    if parity.reference is not None and case.arm is None:
        msg = f"{case.name} states expect.parity and is no arm, so that nothing would be compared: set Case.arm"
        raise UsageError(msg)
    if not parity.judges(case.arm):
        return
    if (reference := case.reference) is None:
        msg = f"{case.name} is to be held against the arm {parity.reference!r}, and nobody says what that is: set Case.reference"
        raise UsageError(msg)
    if conduct.settings.attached and case.topology != reference.topology:
        msg = (
            f"the arms {case.arm!r} and {reference.arm!r} differ in what is deployed, and --dynperf-endpoint asks the one server that "
            "runs: both would be it. Measure without --dynperf-endpoint, or arms that differ in traffic.cache"
        )
        raise UsageError(msg)
    if reference.skip is not None:
        msg = f"nothing can be compared with the reference {reference.case_id}, which is not measured on {case.platform}: {reference.skip}"
        raise UsageError(msg)
    if reference.point != case.point:
        msg = f"{case.name} and its reference {reference.name} would be asked other prompts: Case.case_id must be the same up to the arm"
        raise UsageError(msg)
    found = _noted(reference, conduct) or _measure_for(case, reference, conduct)
    if found.problem is not None:
        msg = f"nothing can be compared with the reference arm {reference.case_id}: {found.problem}"
        raise DeploymentError(msg)
    conduct.references[case.name] = found


def note_arm(case: Case, measured: Measured, conduct: Conduct) -> None:
    """``case`` is an arm that has been measured: say which of its files may be read. An invalid one says nothing, and is measured again by
    whoever needs it.

    :raises RunDirectoryError: when it cannot be written.
    """
    if case.arm is not None and case.expectation.parity.reference is not None and not flaws(measured.measurement, case.expectation):
        _note(case, Noted(records=_records(case, measured, conduct), facts=_facts(measured)), conduct)


def judged_with_parity(case: Case, judged: Judged, measured: Measured, conduct: Conduct) -> tuple[Judged, ArmParity | None]:
    """The verdict of ``case`` with what its answers say beside those of the reference; of an invalid case no answer is compared. Where
    texts differ and the arm that tells whether the reference repeats itself has not been measured, it is measured now, within the budget.
    """
    if not case.expectation.parity.judges(case.arm) or judged.verdict.outcome is Outcome.INVALID:
        return judged, None
    reference = conduct.references.get(case.name, Noted())
    files = {"candidate": _records(case, measured, conduct), "reference": reference.records}
    root = conduct.run_directory.root
    if (apart := _apart(case, reference, measured)) is not None:
        assert case.reference is not None
        parity = ArmParity(reference=case.reference.case_id, outcome=Outcome.INVALID, reasons=(apart,))  # whatever the files say
        return replace(judged, verdict=with_parity(judged.verdict, parity)), parity
    noise = None if case.noise is None else _noted(case.noise, conduct)
    if noise is not None and noise.problem is None:
        files["noise"] = noise.records
    parity = parity_of(case, files, root)
    if case.noise is None or "noise" in files or parity.texts is None or not parity.texts.differing:
        return replace(judged, verdict=with_parity(judged.verdict, parity)), parity
    found = noise or _measured_noise(case, case.noise, measured, conduct)
    if found.problem is None:
        parity = parity_of(case, {**files, "noise": found.records}, root)
    else:
        parity = replace(parity, notes=(*parity.notes, f"{case.noise.case_id} could not be measured: {found.problem}"))
    return in_time(replace(judged, verdict=with_parity(judged.verdict, parity)), case, conduct), parity


def _apart(case: Case, reference: Noted, measured: Measured) -> str | None:
    """Why answers of two arms say nothing about each other: other hardware rounds otherwise."""
    ours = _facts(measured)
    differing = [
        f"{name} is {reference.facts[name]!r} there and {here!r} here"
        for name, here in ours.items()
        if reference.facts.get(name, here) != here
    ]
    if not differing:
        return None
    return f"the reference was measured on other hardware than {case.arm!r}, so that answers may differ by that: {'; '.join(differing)}"


# ---- what was measured


def _measure_for(case: Case, reference: Case, conduct: Conduct) -> Noted:
    """What is known of the reference, measured now; where it has no files, the next arm is told at once why."""
    try:
        measured = measure(reference, conduct, prefix=f"{_FOR}{case.arm}-")
        found = flaws(measured.measurement, reference.expectation)
    except (CaseTimeout, LeaseHeld, UnsupportedFaultError):
        raise  # of this case, of this moment, and no failure
    except DynperfError as error:
        noted = Noted(problem=str(error))
        _note(reference, noted, conduct)
        return noted
    problem = f"it is invalid: {found[0]}" if found else None
    noted = Noted(records=_records(reference, measured, conduct), problem=problem, facts=_facts(measured))
    if conduct.deadline.over is None:
        _note(reference, noted, conduct)
    return noted


def _measured_noise(case: Case, noise: Case, measured: Measured, conduct: Conduct) -> Noted:
    """What is known of the reference once more, measured now. It is what a suspect asks for, and costs of its budget."""
    if noise.skip is not None:
        return Noted(problem=f"it is skipped on {noise.platform}: {noise.skip}")
    if (refused := conduct.budget.refusal(expected_s(noise, measured, noise.traffic.runs, starts=1))) is not None:
        return Noted(problem=refused)
    try:
        with conduct.budget.spending():
            return _measure_for(case, noise, conduct)
    except DynperfError as error:
        return Noted(problem=str(error))  # the case has its runs and its texts, and they stand


def _forget(case: Case, conduct: Conduct) -> None:
    """``case`` is measured again, by whoever runs tests twice: files that this writes anew are those of an arm no more. What was measured
    for another arm stays, which another process may be about to read.
    """
    found = _noted(case, conduct)
    if found is not None and not all(Path(path).name.startswith(_FOR) for path in found.records):
        conduct.run_directory.arm(case.suite, case.case_id).unlink(missing_ok=True)


def _records(case: Case, measured: Measured, conduct: Conduct) -> tuple[str, ...]:
    """Files of the valid runs, relative to the run directory."""
    run_directory = conduct.run_directory
    paths = [run_directory.records(case.suite, case.case_id, run.name) for run in measured.measurement.runs]
    return tuple(str(path.relative_to(run_directory.root)) for path in paths)


def _facts(measured: Measured) -> dict[str, str]:
    """On what, as far as answers may depend on it."""
    key = {} if measured.environment is None else measured.environment.key
    return {name: key[name] for name in _HARDWARE if name in key}


def _note(case: Case, noted: Noted, conduct: Conduct) -> None:
    table = {
        "schema": SCHEMA,
        "case": case.name,
        "records": list(noted.records),
        "problem": noted.problem,
        "facts": dict(noted.facts),
    }
    write_atomically(conduct.run_directory.arm(case.suite, case.case_id), json.dumps(table, indent=2) + "\n")


def _noted(case: Case, conduct: Conduct) -> Noted | None:
    """What is known of an arm; ``None`` where nobody has measured it."""
    try:
        table = json.loads(conduct.run_directory.arm(case.suite, case.case_id).read_text("utf-8"))
        problem = None if table["problem"] is None else str(table["problem"])
        return Noted(records=tuple(map(str, table["records"])), problem=problem, facts=dict(table.get("facts", {})))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not ours: then it is measured
