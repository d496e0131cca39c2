"""``session.json`` while the session goes on: there from the start, incomplete, and with every case that has finished. Whatever ends the
session (SIGKILL, a full disk), what it has found out is there, and nobody takes it for complete.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.run_directory import RunDirectory, write_atomically
from pytest_dynperf.session.redaction import without_secrets

if TYPE_CHECKING:
    from pytest_dynperf.report.session_report import SessionReport
    from pytest_dynperf.session.plan import Settings

UNFINISHED = "it has not ended in order: it still runs, or it was killed"
"""What such a file says of why the session is incomplete."""


def write_unfinished(report: SessionReport, settings: Settings) -> None:
    """Replace ``session.json`` by what is known so far. 1 ms a case, because others may be measuring meanwhile: results have lost their
    secrets already, the text is made by msgspec, and the disk is not waited for.

    :raises RunDirectoryError: when it cannot be written; then the one before it is still there.
    """
    frame = without_secrets(replace(report, results=(), interrupted=report.interrupted or UNFINISHED), settings)
    encoded = msgspec.json.encode(encode_session(replace(frame, results=report.results)))
    write_atomically(RunDirectory(settings.run_directory).session_json, msgspec.json.format(encoded, indent=2) + b"\n", durable=False)


def write_finished(report: SessionReport, settings: Settings) -> None:
    """Say that all is measured, before a baseline is written: whatever comes then, no baseline is that of an incomplete session.

    :raises RunDirectoryError: when it cannot be written.
    """
    write_atomically(RunDirectory(settings.run_directory).session_json, to_text(encode_session(report)))


def remove_unfinished(settings: Settings) -> None:
    """Of a session in which nothing was to be measured after all."""
    run = RunDirectory(settings.run_directory)
    for path in (run.session_json, run.invocation_json):
        path.unlink(missing_ok=True)
