"""Where platform files are found. Reads directory listings only."""

from __future__ import annotations

from pathlib import Path

PACKAGED = Path(__file__).parent / "platforms"
"""The platforms that come with the package: in the repository a link to ``suites/platforms``, in a wheel a copy of it."""

_LAST_DIRECTORY = ("pyproject.toml", ".git")


def platform_files(near: Path) -> dict[str, Path]:
    """Platform name → file. Looks in ``platforms/`` beside ``near`` (a scenario's file or directory) and in every directory above, up to
    the first that holds pyproject.toml or .git, then in the package. The nearest file of a name wins.
    """
    near = near.resolve()
    directories = []
    for directory in (near, *near.parents) if near.is_dir() else near.parents:
        directories.append(directory / "platforms")
        if any((directory / marker).exists() for marker in _LAST_DIRECTORY):
            break
    found: dict[str, Path] = {}
    for directory in (*directories, PACKAGED):
        if directory.is_dir():
            for path in sorted(directory.glob("*.toml")):
                found.setdefault(path.stem, path)
    return found


def platform_names(near: Path) -> tuple[str, ...]:
    """Names that ``--gpu`` accepts for a scenario at ``near``, sorted."""
    return tuple(sorted(platform_files(near)))
