"""The whole store as rings: what lies there of every case in every environment, and what of it no comparison uses."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.location import mark_path
from pytest_dynperf.baseline.ring import grouped, ring_of
from pytest_dynperf.baseline.store import document_files, load_all
from pytest_dynperf.errors import BaselineError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline
    from pytest_dynperf.baseline.store import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRing:
    """The documents of one case under one key, at least one, oldest first."""

    entries: tuple[Stored, ...]

    @property
    def newest(self) -> Baseline:
        """The document that was accepted last."""
        return self.entries[-1].document

    @property
    def case_name(self) -> str:
        """``suite/case_id``."""
        return f"{self.newest.suite}/{self.newest.case_id}"

    @property
    def environment_name(self) -> str:
        """The folder's name."""
        return self.newest.environment_name

    @property
    def ring(self) -> tuple[Baseline, ...]:
        """Those that take part in a comparison, oldest first."""
        return ring_of([entry.document for entry in self.entries])

    @property
    def anchor(self) -> Stored | None:
        """The newest of the marked documents."""
        return next((entry for entry in reversed(self.entries) if entry.marked), None)

    @property
    def unused(self) -> tuple[Stored, ...]:
        """Neither in the ring nor marked."""
        used = {id(document) for document in self.ring}
        return tuple(entry for entry in self.entries if id(entry.document) not in used and not entry.marked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """``rings`` by environment, case and age. ``unreadable``: why a folder of a case could not be read, in words; it has no ring.
    ``orphans``: marks of anchors whose document is not there.
    """

    rings: tuple[CaseRing, ...]
    unreadable: tuple[str, ...] = ()
    orphans: tuple[Path, ...] = ()


def list_store(root: Path, case_pattern: str = "*", environment_pattern: str = "*") -> Listing:
    """Everything below ``root`` whose ``suite/case_id`` and environment match the shell patterns. Costs one read per document."""
    folders: dict[Path, list[Path]] = {}
    for path in document_files(root):
        environment, suite, case_id, _ = path.relative_to(root).parts
        if fnmatchcase(f"{suite}/{case_id}", case_pattern) and fnmatchcase(environment, environment_pattern):
            folders.setdefault(path.parent, []).append(path)
    rings: list[CaseRing] = []
    unreadable: list[str] = []
    orphans: list[Path] = []
    for folder, paths in folders.items():
        try:
            entries = load_all(root, paths)
        except BaselineError as error:
            unreadable.append(str(error))
            continue
        rings += [CaseRing(entries=tuple(entry for entry, _ in group)) for group in grouped((e, e.document) for e in entries).values()]
        orphans += sorted(set(folder.glob("[!.]*.anchor")) - {mark_path(path) for path in paths})
    return Listing(rings=tuple(rings), unreadable=tuple(unreadable), orphans=tuple(orphans))
