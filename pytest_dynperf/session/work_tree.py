"""Whether the tree that is measured is what its commit says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def _git(directory: Path, *arguments: str) -> str | None:
    """Standard output of git, or ``None`` where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=30)  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def uncommitted(rootdir: Path, baselines: Path) -> tuple[str, ...]:
    """Changed or untracked files outside of ``baselines/`` and ``reports/``.

    Empty where the store lies outside of the work tree: such a store is nobody's reviewed memory, and provenance names the dirty commit.
    """
    top = _git(rootdir, "rev-parse", "--show-toplevel")
    if top is None:
        return ()
    from pathlib import Path

    root = Path(top.strip()).resolve()
    if not baselines.resolve().is_relative_to(root):
        return ()
    own = f":(exclude){baselines.resolve().relative_to(root)}"
    status = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".", ":(exclude)baselines", ":(exclude)reports", own)
    if status is None:
        return ("unknown files, because git status fails here",)
    return tuple(line[3:] for line in status.splitlines())
