"""The temporary directory that load processes share with their parent: the names of its files. None of them holds a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workplace:
    """``number`` is that of a load process, from 0."""

    root: Path

    @property
    def board(self) -> Path:
        """Shared counters."""
        return self.root / "board"

    def share(self, number: int) -> Path:
        """What the process does."""
        return self.root / f"{number}.share"

    def spool(self, number: int) -> Path:
        """What it sends."""
        return self.root / f"{number}.spool"

    def segment(self, number: int) -> Path:
        """What it saw; appears complete or not at all."""
        return self.root / f"{number}.segment"

    def words(self, number: int) -> Path:
        """Standard output and error."""
        return self.root / f"{number}.log"
