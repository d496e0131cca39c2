"""The files of accepted documents. Reads all of a case; writes one file per acceptance; deletes only what it is told to, by name.

Safe under several writers, a kill and a full disk: a document gets its name only when all of it is on the disk, and never replaces another.
"""

from __future__ import annotations

import errno
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.anchor import is_marked
from pytest_dynperf.baseline.codec import decode, encode
from pytest_dynperf.baseline.found import Found
from pytest_dynperf.baseline.location import ALL_DOCUMENTS, document_path, documents_of_case, place_of
from pytest_dynperf.baseline.ring import age, ring_of
from pytest_dynperf.errors import BaselineError, RunDirectoryError
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""What a file system without hard links says; there a name is taken by renaming, which two writers of one session could both do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A document, where it lies, and whether it is marked as an anchor."""

    path: Path
    document: Baseline
    marked: bool


def read(root: Path, *, suite: str, case_id: str, key: Mapping[str, str]) -> Found:
    """Documents of a case below ``root``; nothing found, or no ``root``, gives an empty :class:`Found`. Costs one read per document.

    :raises BaselineError: when any document of the case cannot be read or lies where it does not belong: leaving it out would change
        what the case is compared with.
    """
    return found_among(stored(root, suite=suite, case_id=case_id), key)


def found_among(found: Sequence[Stored], key: Mapping[str, str]) -> Found:
    """What :func:`read` finds where ``found``, oldest first, is all that there is of the case."""
    ours = dict(key)
    same: list[Stored] = []
    others: list[Stored] = []
    for entry in found:
        (same if dict(entry.document.key) == ours else others).append(entry)
    return Found(
        documents=ring_of([entry.document for entry in same]),
        others=tuple(entry.document for entry in others),
        anchor=next((entry.document for entry in reversed(same) if entry.marked), None),
    )


def stored(root: Path, *, suite: str, case_id: str) -> tuple[Stored, ...]:
    """Every document of a case in every environment, oldest first.

    :raises BaselineError: as :func:`read`.
    """
    found = []
    for listed in documents_of_case(root, suite=suite, case_id=case_id):
        document = load_anywhere(listed.path)
        if place_of(document) != listed.place:
            raise _misplaced(root, listed.path, document)
        found.append(Stored(path=listed.path, document=document, marked=listed.mark and is_marked(listed.path)))
    return _oldest_first(found)


def load_all(root: Path, paths: Iterable[Path]) -> tuple[Stored, ...]:
    """The documents at ``paths``, which lie below ``root``, oldest first.

    :raises BaselineError: as :func:`load`.
    """
    return _oldest_first([Stored(path=path, document=load(root, path), marked=is_marked(path)) for path in paths])


def _oldest_first(found: Iterable[Stored]) -> tuple[Stored, ...]:
    return tuple(sorted(found, key=lambda entry: age(entry.document)))


def document_files(root: Path) -> tuple[Path, ...]:
    """Every document below ``root``, sorted by path; half-written files are not seen."""
    return tuple(sorted(root.glob(ALL_DOCUMENTS)))


def write(root: Path, baseline: Baseline) -> Path:
    """Write the document and return its path. Writing the same document again changes nothing.

    :raises BaselineError: when another document already has that path: nothing is ever replaced.
    :raises RunDirectoryError: when the directory cannot be written.
    """
    path, text = document_path(root, baseline), encode(baseline)
    # A name that nobody else has, below which the text is written and synced; only then does it get its own name, unless that is taken.
    half = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}")
    write_atomically(half, text)
    try:
        os.link(half, path)
    except FileExistsError:
        if path.is_file() and path.read_bytes() == text.encode():
            return path
        msg = f"{path} already holds another document of session {baseline.session_id}; delete it by hand if it is to be replaced"
        raise BaselineError(msg) from None
    except OSError as error:
        if error.errno not in _NO_LINKS or path.exists():
            msg = f"cannot write {path}: {error.strerror or error}. Choose another directory or make room."
            raise RunDirectoryError(msg) from error
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return path


def load(root: Path, path: Path) -> Baseline:
    """The document at ``path``, which must be where a document with its content lies below ``root``.

    :raises BaselineError: for what is no document, and for one in the wrong place.
    """
    document = load_anywhere(path)
    if document_path(root, document) != path:
        raise _misplaced(root, path, document)
    return document


def _misplaced(root: Path, path: Path, document: Baseline) -> BaselineError:
    expected = document_path(root, document)
    places = zip(("environment", "suite", "case", "stamp and session"), *(_parts(root, one) for one in (expected, path)), strict=True)
    wrong = [f"{name} {inside!r}, where {outside!r} lies" for name, inside, outside in places if inside != outside]
    return BaselineError(f"{path} holds a document of {' and '.join(wrong)}: it belongs to {expected}. Move it there, or delete it.")


def _parts(root: Path, path: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts


def load_anywhere(path: Path) -> Baseline:
    """The document at ``path``, wherever that is.

    :raises BaselineError: for what cannot be read, is not UTF-8, or is no document.
    """
    try:
        with path.open("rb", buffering=0) as file:  # read once and whole: a buffer would only be filled and copied
            text = file.read().decode("utf-8")
    except OSError as error:
        if path.is_dir():
            msg = f"{path} cannot be read: it is a directory in place of a baseline document. Delete it, or move it elsewhere."
            raise BaselineError(msg) from error
        msg = f"{path} cannot be read: {error.strerror or error}. Make it readable, or restore it from version control."
        raise BaselineError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}. Restore it from version control."
        raise BaselineError(msg) from error
    return decode(text, file=path)
