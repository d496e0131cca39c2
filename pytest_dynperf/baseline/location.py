"""Where a document lies: ``<root>/<environment>/<suite>/<case id>/<UTC stamp>-<session id>.json``. Two updates never touch one file."""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pytest_dynperf.run_directory import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

_DOCUMENT, _MARK = ".json", ".anchor"
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})


class Place(NamedTuple):
    """Where a document lies below the root: three directories and the name of the file."""

    environment: str
    suite: str
    case: str
    file: str


class Listed(NamedTuple):
    """A document that a directory lists, unread. ``mark``: a mark is listed beside it."""

    place: Place
    path: Path
    mark: bool


def place_of(baseline: Baseline) -> Place:
    """The one place of a document; follows from its content alone."""
    name = f"{_safe(f'{baseline.stamp}-{baseline.session_id}')}.json"
    return Place(_safe(baseline.environment_name), _safe(baseline.suite), _safe(baseline.case_id), name)


@lru_cache(maxsize=4096)
def _safe(text: str) -> str:
    """The same few names stand in every document of a case and of a session."""
    return safe_name(text)


def document_path(root: Path, baseline: Baseline) -> Path:
    """The path of a document below ``root``."""
    return root.joinpath(*place_of(baseline))


def mark_path(document: Path) -> Path:
    """The mark beside a document that makes it the anchor of its case."""
    return document.with_name(f"{document.name.removesuffix(_DOCUMENT)}{_MARK}")


def documents_of_case(root: Path, *, suite: str, case_id: str) -> Iterator[Listed]:
    """The documents of a case in every environment, without hidden (half-written) files; nothing where a directory is not there or may not
    be read. Costs one listing of ``root`` and one per environment.

    :raises OSError: when a directory cannot be listed for another reason.
    """
    for environment in _names(root):
        if environment.startswith("."):
            continue
        directory = root.joinpath(environment, _safe(suite), _safe(case_id))
        names = _names(directory)
        marks = {name for name in names if name.endswith(_MARK)}
        for name in names:
            if name.endswith(_DOCUMENT) and not name.startswith("."):
                place = Place(environment, _safe(suite), _safe(case_id), name)
                yield Listed(place, directory / name, f"{name.removesuffix(_DOCUMENT)}{_MARK}" in marks)


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names are all that is needed, and a path for each costs more than the listing
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno in _NOT_THERE:
            return []
        raise


ALL_DOCUMENTS = "[!.]*/[!.]*/[!.]*/[!.]*.json"
"""Glob pattern, relative to the root, of every document of every case."""
