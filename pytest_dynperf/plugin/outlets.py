"""Where a session's result goes beside the terminal and its run directory: a step summary, annotations of a CI run; and what old sessions
give way to it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import DynperfError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pytest_dynperf.plugin.state import State
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.plan import Settings
    from pytest_dynperf.session.stored_sessions import Retention


def append_step_summary(report: SessionReport, asked: Path | None, *, github: bool, environment: Mapping[str, str]) -> str | None:
    """Append the result as Markdown to the file that ``--dynperf-step-summary`` names, else to that of ``GITHUB_STEP_SUMMARY`` where there
    is one and ``github`` is on. What went wrong, or ``None``.

    What other steps of the same job have written there counts: GitHub drops the whole of a file that is too large.
    """
    from pytest_dynperf.report.markdown import STEP_SUMMARY_BYTES, markdown

    named = environment.get("GITHUB_STEP_SUMMARY", "") if github else ""
    path = asked or (Path(named) if named else None)
    if path is None:
        return None
    try:
        before = path.stat().st_size if path.exists() else 0
        text = markdown(report, limit_bytes=max(0, STEP_SUMMARY_BYTES - before))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return f"cannot write the step summary to {path}: {error.strerror or error} (--dynperf-step-summary=FILE, GITHUB_STEP_SUMMARY)"
    return None


def annotation_lines(report: SessionReport, settings: Settings, *, github: bool, environment: Mapping[str, str]) -> list[str]:
    """Workflow commands, at most nine; none outside of GitHub Actions."""
    if not github or environment.get("GITHUB_ACTIONS") != "true":
        return []
    from pytest_dynperf.report.github import annotations_of
    from pytest_dynperf.session.closing import fails

    workspace = Path(environment.get("GITHUB_WORKSPACE") or settings.rootdir)
    inside = settings.rootdir.is_relative_to(workspace)
    found = annotations_of(
        report,
        fails=lambda result: fails(result.verdict, strict=settings.strict, open_suspect=settings.fail_on_suspect),
        prefix=str(settings.rootdir.relative_to(workspace)) if inside else "",
    )
    return [one.command for one in found]


def prune_old(settings: Settings, retention: Retention) -> list[str]:
    """Remove the sessions beside this one that ``retention`` does not keep; what was done, or what went wrong, in words."""
    if not retention.asked:
        return []
    from datetime import UTC, datetime

    from pytest_dynperf.deployment.lease import default_directory
    from pytest_dynperf.report.wording import counted
    from pytest_dynperf.session.stored_sessions import remove, stored_sessions

    reports, removed = settings.run_directory.parent, 0
    freed = 0
    try:
        found = stored_sessions(
            reports,
            retention,
            now=datetime.now(UTC),
            leases=default_directory(),
            baselines=(settings.baselines,),
            own=settings.run_directory,
        )
        for session in remove(found, reports):
            removed, freed = removed + 1, freed + session.size_bytes
    except DynperfError as error:
        return [f"old sessions were not all removed: {error}"]
    return [f"removed {counted(removed, 'old session')}, {freed / 1e6:.1f} MB (retention)"] if removed else []


def close_with(state: State, report: SessionReport) -> None:
    """After the reports are written: the step summary, and room for the next session."""
    from pytest_dynperf.plugin.options import github_wanted, retention, step_summary

    settings = state.make_settings()
    wrong = append_step_summary(report, step_summary(state.config), github=github_wanted(state.config), environment=os.environ)
    if wrong is not None:
        state.trouble.append(wrong)
    state.pruned = prune_old(settings, retention(state.config))


def annotate(state: State, report: SessionReport, reporter: pytest.TerminalReporter) -> None:
    """The annotations, each on a line of its own: GitHub reads them from the log."""
    from pytest_dynperf.plugin.options import github_wanted

    lines = annotation_lines(report, state.make_settings(), github=github_wanted(state.config), environment=os.environ)
    if lines:
        reporter.ensure_newline()
    for line in lines:
        reporter.write_line(line)
