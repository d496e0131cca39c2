"""What of a session's directory is made from its result: the page, the Markdown, the metrics file. When the session ends, and again from
its files whenever somebody asks. Both give the same bytes, as long as the records and the baselines that the page draws are there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dynperf.report.html_page import render
from pytest_dynperf.report.json_file import encode_session, to_text
from pytest_dynperf.report.markdown import COMMENT_BYTES, markdown
from pytest_dynperf.report.openmetrics import openmetrics
from pytest_dynperf.run_directory import RunDirectory, write_atomically
from pytest_dynperf.session.drilldown import read_drilldown

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.report.drilldown import Drilldown
    from pytest_dynperf.report.session_report import SessionReport


def write_pages(report: SessionReport, run: RunDirectory, drilldown: Drilldown | None = None) -> tuple[Path, ...]:
    """``report.html``, ``report.md`` and ``openmetrics.txt`` in ``run``, replaced; their paths. ``drilldown`` is what the page draws beside
    the report; by default it is read from ``run``.

    :raises RunDirectoryError: when one cannot be written; the ones before it are new then.
    """
    shown = replace(report, accepted=()) if report.dry_run else report
    texts = {
        run.report_html: render(shown, drilldown or read_drilldown(report, run.root)),
        run.report_md: markdown(shown, limit_bytes=COMMENT_BYTES),
        run.openmetrics: openmetrics(report),
    }
    for path, text in texts.items():
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return tuple(texts)


def write_copy(report: SessionReport, source: Path, home: Path) -> Path:
    """``session.json`` and the pages in ``home``, of a session whose files lie in ``source``; the page's path. Records and logs stay where
    they are: their paths are made relative to the new place.

    :raises RunDirectoryError: when a file cannot be written.
    """

    def moved(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(os.path.relpath(source / path, home) for path in paths)

    drilldown = read_drilldown(report, source, page=home)
    run = RunDirectory(home)
    results = tuple(replace(result, records=moved(result.records), logs=moved(result.logs)) for result in report.results)
    report = replace(report, results=results, run_directory=str(home))
    write_atomically(run.session_json, to_text(encode_session(report)))
    write_pages(report, run, drilldown)
    return run.report_html
