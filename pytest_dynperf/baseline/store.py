"""The files of accepted documents. Reads all of a case; writes one file per acceptance; never deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.baseline.found import Found
from pytest_dynperf.baseline.location import document_path, document_pattern
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

RING = 10
"""Documents of one key that take part in a comparison."""


def read(root: Path, *, suite: str, case_id: str, key: Mapping[str, str]) -> Found:
    """Documents of a case below ``root``; nothing found, or no ``root``, gives an empty :class:`Found`. Costs one read per document.

    :raises BaselineError: when any document of the case cannot be read or lies where it does not belong: leaving it out would change
        what the case is compared with.
    """
    documents = sorted(
        (_load(root, path) for path in root.glob(document_pattern(suite, case_id))),
        key=lambda document: (document.stamp, document.session_id, document.environment_name),
    )
    same = [document for document in documents if dict(document.key) == dict(key)]
    newest_epoch = max((document.epoch for document in same), default=0)
    return Found(
        documents=tuple(document for document in same if document.epoch == newest_epoch)[-RING:],
        others=tuple(document for document in documents if dict(document.key) != dict(key)),
    )


def write(root: Path, baseline: Baseline) -> Path:
    """Write the document atomically and return its path. Writing the same document again changes nothing.

    :raises BaselineError: when another document already has that path: nothing is ever replaced.
    :raises RunDirectoryError: when the directory cannot be written.
    """
    path, text = document_path(root, baseline), encode(baseline)
    if path.exists():
        if path.read_bytes() == text.encode():
            return path
        msg = f"{path} already holds another document of session {baseline.session_id}; delete it by hand if it is to be replaced"
        raise BaselineError(msg)
    write_atomically(path, text)
    return path


def _load(root: Path, path: Path) -> Baseline:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}. Make it readable, or restore it from version control."
        raise BaselineError(msg) from error
    document = decode(text, file=path)
    expected = document_path(root, document)
    if expected != path:
        msg = (
            f"{path} holds {document.suite}/{document.case_id} of environment {document.environment_name}, "
            f"session {document.session_id}: it belongs to {expected}. Move it there, or delete it."
        )
        raise BaselineError(msg)
    return document
