"""Where a document lies: ``<root>/<environment>/<suite>/<case id>/<UTC stamp>-<session id>.json``. Two updates never touch one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.run_directory import safe_name

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline


def document_path(root: Path, baseline: Baseline) -> Path:
    """The one path of a document; follows from its content alone."""
    directory = root / safe_name(baseline.environment_name) / safe_name(baseline.suite) / safe_name(baseline.case_id)
    return directory / f"{safe_name(f'{baseline.stamp}-{baseline.session_id}')}.json"


def mark_path(document: Path) -> Path:
    """The mark beside a document that makes it the anchor of its case."""
    return document.with_name(f"{document.name.removesuffix('.json')}.anchor")


def document_pattern(suite: str, case_id: str) -> str:
    """Glob pattern, relative to the root, of the documents of a case in every environment, without hidden (half-written) files."""
    return f"[!.]*/{safe_name(suite)}/{safe_name(case_id)}/[!.]*.json"


ALL_DOCUMENTS = "[!.]*/[!.]*/[!.]*/[!.]*.json"
"""Glob pattern, relative to the root, of every document of every case."""
