"""What ``--gpu=NAME`` picks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LAUNCHERS = ("container", "process", "attached")
LAUNCHER_CHOICES = ("auto", "process", "container")
"""What ``--dynperf-launcher`` takes; ``auto`` leaves it to the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """``gpu_pattern`` is matched, case-insensitively, against the product name that NVML reports (``H100``), as a word of its own;
    empty means that no GPU is needed. ``launcher`` is one of ``LAUNCHERS``. ``defaults`` holds the tables ``topology``, ``traffic``,
    ``axes`` and ``expect`` that fit this platform, as in a scenario.
    ``simulated`` marks timing that is simulated; ``verified`` is false until somebody has run it on the hardware.
    """

    name: str
    summary: str
    file: str
    gpu_pattern: str
    gpu_count: int
    gpu_memory_gib: float
    launcher: str
    simulated: bool
    verified: bool
    defaults: Mapping[str, object]
