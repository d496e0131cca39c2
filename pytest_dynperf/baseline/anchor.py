"""The one document of a case and key against which drift is measured, whatever has been accepted since.

It is marked by an empty file beside it, ``<document>.anchor``. So an accepted document is never rewritten, two branches that mark the same
document add equal files, and two that mark different ones merge without a conflict: then the newest of the marked documents is the anchor.
Empty, because git takes an equal file elsewhere for a renamed one unless there is nothing in it, and two renames of one mark conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dynperf.baseline.location import mark_path
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.run_directory import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def is_marked(document: Path) -> bool:
    """Whether the document at this path carries a mark.

    :raises BaselineError: for a mark that is none: what it was meant to say is not known.
    """
    mark = mark_path(document)
    try:
        text = mark.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        msg = f"{mark} cannot be read: {error.strerror or error}. Make it readable, or delete it."
        raise BaselineError(msg) from error
    if text:
        msg = f"{mark} is not the mark of an anchor, which is empty. Delete it, and mark again: dynperf baselines anchor"
        raise BaselineError(msg)
    return True


def mark(document: Path, others: Iterable[Path]) -> tuple[Path, ...]:
    """Make the document at ``document`` the anchor, and take the marks from ``others``, which are those of the same case and key. The paths
    of marks that were taken away. A kill in between leaves both marks, and with them a newest one.

    :raises RunDirectoryError: when the mark cannot be written.
    """
    write_atomically(mark_path(document), "")
    taken = tuple(mark_path(other) for other in others if other != document and mark_path(other).exists())
    for path in taken:
        path.unlink(missing_ok=True)
    return taken
