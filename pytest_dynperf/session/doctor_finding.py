"""What the doctor says: what is fine, and what is lacking, with its remedy. A lack without a remedy cannot be made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Severity(Enum):
    """How much a lack matters, the worst first."""

    MISSING = "missing"
    """Without it the platform cannot run."""
    WARNING = "warning"
    """It runs, and what it measures may be worth less."""
    UNKNOWN = "unknown"
    """It could not be looked at: perhaps fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fine:
    """Something that is as it should be: ``id`` is stable text for programs (``gpu.count``), ``what`` and ``found`` are for people."""

    id: str
    what: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Something that is not. ``remedy`` says what a person can do about it.

    :raises ValueError: for an empty remedy.
    """

    id: str
    severity: Severity
    what: str
    found: str
    remedy: str

    def __post_init__(self) -> None:
        if not self.remedy.strip():
            msg = f"{self.id}: a lack without a remedy helps nobody"
            raise ValueError(msg)


Finding: TypeAlias = Fine | Lack


def severity_of(finding: Finding) -> str:
    """``fine``, or how much it matters."""
    return finding.severity.value if isinstance(finding, Lack) else "fine"


def missing(finding: Finding) -> bool:
    """Whether a platform cannot run because of it."""
    return isinstance(finding, Lack) and finding.severity is Severity.MISSING
