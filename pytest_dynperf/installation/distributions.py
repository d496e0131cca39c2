"""Which distributions an interpreter has: asked of itself, in a process that imports none of them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ANSWER_S = 30.0
"""Longest wait; 50 ms are usual."""

_PROGRAM = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def versions_in(python: Path, names: Iterable[str]) -> dict[str, str] | None:
    """Distribution to version, for those of ``names`` that are installed beside ``python``; ``None`` when that does not start."""
    try:
        done = subprocess.run((python, "-I", "-c", _PROGRAM, *names), capture_output=True, text=True, timeout=ANSWER_S, check=True)
        answer = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {str(name): str(version) for name, version in answer.items()}


def python_version(python: Path) -> str | None:
    """``3.11``; ``None`` when ``python`` does not start."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run((python, "-I", "-c", program), capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
