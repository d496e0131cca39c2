"""What the session says at its beginning and end, and the files it leaves."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import DynperfError, RunDirectoryError
from pytest_dynperf.plugin.interruption import ignored
from pytest_dynperf.plugin.performance import FRAGMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.report.session_report import SessionReport


def header_lines(state: State) -> list[str]:
    """Platform, what is measured, where baselines lie; nothing where nothing will be measured."""
    from pytest_dynperf.plugin.heading import engines_planned, hardware_here
    from pytest_dynperf.report.terminal import header
    from pytest_dynperf.session.closing import own_versions
    from pytest_dynperf.session.redaction import without_secrets

    if state.plan is None:
        return []
    settings = state.make_settings()
    lines = header(
        platform=state.plan.platform,
        versions=own_versions(),
        baseline_directory=str(settings.baselines),
        seed=settings.seed,
        hardware=hardware_here(state.plan.platform, settings),
        engines=engines_planned(state.plan, settings),
    )
    target = f", attached to {settings.endpoint_url}" if settings.endpoint_url else ""
    why = f"{state.plan.why}{target}"
    if why != f"--gpu={state.plan.platform.name}":
        lines.append(f"dynperf: {why}")
    return without_secrets(lines + opening_lines(state), settings)


def opening_lines(state: State) -> list[str]:
    """What only the process knows that opens the session: what it has swept up, that the session goes on, and whom it waits for before it
    measures: in a log nothing else would be said for minutes.
    """
    found = (state.swept, _going_on(state), state.waiting)
    return [f"dynperf: {text}" for text in found if text is not None]


def _going_on(state: State) -> str | None:
    before = state.before
    if before is None or state.ledger is None:
        return None
    done, missing = len(before.results), len(state.ledger.missing)
    return f"going on with session {before.session_id}: {done} of {done + missing} cases were measured before"


def announce(state: State, platform: str, lines: Iterable[str]) -> None:
    """In the controller: prove that results can be written, and print the header that a worker made.

    :raises pytest.exit.Exception: with exit code 4 when the report directory cannot be written.
    """
    try:
        prepare(state, platform)
    except pytest.UsageError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    if state.config.get_verbosity() >= 0:
        writer = state.config.get_terminal_writer()
        for line in (*lines, *opening_lines(state)):
            writer.line(line)


def prepare(state: State, platform: str) -> None:
    """Find out now, not after hours, that the results could not be kept; remove what dead sessions have left; keep what this one is asked.

    :raises pytest.UsageError: when the report directory cannot be written, another session measures on this host, waivers cannot be read,
        baselines were asked for from a dirty tree, or a session that is to go on is not the same.
    """
    from pytest_dynperf.baseline.waivers import read_waivers, waivers_path
    from pytest_dynperf.plugin.extensions import fetch_baselines
    from pytest_dynperf.plugin.opening import begin
    from pytest_dynperf.plugin.options import github_wanted, retention
    from pytest_dynperf.run_directory import RunDirectory
    from pytest_dynperf.session.deployments import check_host_is_free, shares_host
    from pytest_dynperf.session.work_tree import uncommitted

    settings = state.make_settings()
    github_wanted(state.config), retention(state.config)  # a word without meaning is said now, not after hours
    state.started_s = time.monotonic()
    try:
        RunDirectory(settings.run_directory).create()
    except RunDirectoryError as error:
        msg = f"{error} (--dynperf-reports=DIR)"
        raise pytest.UsageError(msg) from None
    try:
        fetch_baselines(settings)
        state.hold_session()  # before the host is asked for: what a dead session has left may hold it
        # Where every case leases its GPUs alone, others may be measured on this host meanwhile.
        alone = state.plan is None or not all(shares_host(case.topology) for case in state.plan.cases)
        state.waiting = check_host_is_free(settings) if alone else None
        read_waivers(waivers_path(settings.baselines))
    except DynperfError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.update == "write":
        dirty = uncommitted(settings.rootdir, settings.baselines)
        if dirty:
            shown = ", ".join(dirty[:5]) + (f" and {len(dirty) - 5} more" if len(dirty) > 5 else "")
            msg = (
                f"--update-baselines: the tree is dirty outside baselines/ and reports/ ({shown}), "
                "so a baseline could not say what it measured: commit first"
            )
            raise pytest.UsageError(msg)
    planned = set(state.node_ids.values())
    try:
        begin(state, platform, planned)
    except DynperfError as error:
        raise pytest.UsageError(str(error)) from None
    state.the_ledger().planned.update(planned)
    keep_unfinished(state)


def keep_unfinished(state: State) -> None:
    """Have session.json say what has finished by now."""
    from pytest_dynperf.session.unfinished import write_unfinished

    results = len(state.the_ledger().results)
    if not state.the_ledger().planned or state.written == results:
        return
    state.written = results
    try:
        write_unfinished(_session_report(state), state.make_settings())
    except RunDirectoryError as error:
        text = f"session.json does not tell what has finished: {error}"
        if text not in state.trouble:
            state.trouble.append(text)


def take_fragment(state: State, report: pytest.TestReport) -> None:
    """A result that rides on a finished test's report."""
    from pytest_dynperf.report.json_file import decode_result

    for name, value in report.user_properties:
        if name == FRAGMENT:
            state.the_ledger().add(decode_result(json.loads(str(value))))
    keep_unfinished(state)


def take_skip(state: State, report: pytest.TestReport) -> None:
    """A case that is skipped on purpose is not missing."""
    name = state.node_ids.get(report.nodeid.partition("@")[0])
    if name is not None and report.skipped:
        state.the_ledger().planned.discard(name)


def finish(state: State, session: pytest.Session) -> SessionReport | None:
    """Accept what may be accepted, write the reports, and make the exit status of a red or incomplete session say so."""
    from pytest_dynperf.plugin.extensions import keep_baselines, tell_judged, with_sections
    from pytest_dynperf.plugin.live import Live
    from pytest_dynperf.plugin.outlets import close_with
    from pytest_dynperf.session.closing import close, red
    from pytest_dynperf.session.redaction import without_secrets
    from pytest_dynperf.session.unfinished import remove_unfinished

    if state.ledger is None:
        return None
    if not (state.ledger.planned or state.ledger.results):
        if state.written is not None:
            remove_unfinished(state.make_settings())
        return None
    settings = state.make_settings()
    report, said = with_sections(state.config, _session_report(state), lambda report: without_secrets(report, settings))
    state.trouble += said
    live = Live(state.config, None, None)
    live.say("writing the report")
    try:
        with ignored():  # a few seconds: whoever accepts a baseline must also get to say that the session is complete
            report, trouble = close(report, settings)
            state.trouble += trouble
            close_with(state, report)
        state.trouble += keep_baselines(report, settings)  # may be interrupted: it is not ours, and nobody knows how long it takes
    finally:
        live.clear()
    failed = red(report, strict=settings.strict, open_suspect=settings.fail_on_suspect)  # also where a rerun passed afterwards
    if session.exitstatus == pytest.ExitCode.OK and (failed or state.trouble):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    state.trouble += tell_judged(state.config, report, settings)  # whom it concerns changes nothing of what came out
    return report


def _session_report(state: State) -> SessionReport:
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.closing import versions

    settings = state.make_settings()
    ledger = state.the_ledger()
    before = state.before
    order = {name: position for position, name in enumerate(state.node_ids.values())}
    results = tuple(ledger.results[name] for name in sorted(ledger.results, key=lambda name: order.get(name, len(order))))
    platforms = {result.case.platform for result in results}
    return SessionReport(
        session_id=settings.session_id,
        stamp=settings.stamp,
        command=state.axis_assignments + settings.command,
        seed=settings.seed,
        platform=", ".join(sorted(platforms)) or settings.gpu,
        simulated=any(result.case.topology.engine == "mocker" and not settings.attached for result in results),
        results=results,
        missing=ledger.missing,
        interrupted=ledger.interrupted,
        versions=versions(results) | {"pytest": pytest.__version__},
        duration_s=time.monotonic() - state.started_s + (0.0 if before is None else before.duration_s),
        resumed=() if before is None else before.resumed,
        baseline_directory=str(settings.baselines),
        run_directory=str(settings.run_directory),
        dry_run=settings.update == "dry-run",
    )


def show(state: State, report: SessionReport, reporter: pytest.TerminalReporter) -> None:
    """The summary section; nothing at -q but trouble, and what a CI run reads."""
    from pytest_dynperf.plugin.outlets import annotate
    from pytest_dynperf.report.terminal import summary

    for text in state.trouble:
        reporter.write_line(f"dynperf: {text}", red=True)
    annotate(state, report, reporter)
    if reporter.verbosity < 0:
        return
    reporter.section("performance")
    writer = reporter._tw
    dry = report.dry_run
    written = replace(report, accepted=()) if dry else report  # what would be has a section of its own
    for line in summary(written, width=writer.fullwidth, verbose=reporter.verbosity > 0):
        reporter.write_line(line.text, **({line.style: True} if line.style else {}))
    for text in state.pruned:
        reporter.write_line(text)
    if dry:
        from pytest_dynperf.report.baseline_text import update_lines

        reporter.section("baselines, dry run")
        for text in update_lines(report):
            reporter.write_line(text)
