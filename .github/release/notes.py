"""The notes of a release, printed: ``notes.py v1.2.3``. Fails where the tag, the version and the changelog do not agree.

Standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


class Refused(Exception):
    """There is nothing to release like this; the text says what to do first."""


def notes(tag: str, root: Path) -> str:
    """What stands in CHANGELOG.md under the version of ``tag``.

    :raises Refused: when pyproject.toml has another version, news fragments are left, or the changelog does not have the version.
    """
    version = tag.removeprefix("v")
    found = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if found != version:
        msg = f"the tag is {tag}, and pyproject.toml says version {found}: commit the version, then tag it"
        raise Refused(msg)
    if left := sorted(path.name for path in root.glob("changelog/*.md")):
        msg = f"{len(left)} news fragments are left, such as {left[0]}: towncrier build --yes --version {version}, commit, then tag"
        raise Refused(msg)
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)} [^\n]*\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None or not section[1].strip():
        msg = f"CHANGELOG.md has no section for {version}: towncrier build --yes --version {version}, commit, then tag"
        raise Refused(msg)
    return f"{section[1].strip()}\n"


def main() -> int:
    """0, or 1 with an annotation that says what is wrong."""
    try:
        sys.stdout.write(notes(sys.argv[1], Path()))
    except Refused as refused:
        sys.stderr.write(f"::error::{refused}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
