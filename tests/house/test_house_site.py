"""The documentation as a site: the strict build passes, every page is in the menu, and defects are found."""

from __future__ import annotations

import re
import runpy
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.house.markdown import DOCS, ROOT, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("mkdocs", reason="needs mkdocs-material (the extra docs)")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The pages as they lie in the repository, in a place where they may be changed."""
    pages: Callable[[], list[Path]] = runpy.run_path(str(DOCS / "site.py"))["pages"]
    for page in [*pages(), *(path.relative_to(ROOT) for path in (DOCS / "site.py", DOCS / "mkdocs.yml"))]:
        copy = tmp_path / page
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / page, copy)
    return tmp_path


def built(clone: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status of the build, and what it says."""
    namespace: dict[str, Any] = runpy.run_path(str(clone / "docs" / "site.py"))
    return namespace["build"](clone / "site", clone / "work"), capfd.readouterr().err


def test_the_strict_build_passes_and_has_every_page(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, said = built(clone, capfd)
    assert (code, said) == (0, "")
    for page in ("index.html", "docs/tutorial.html", "docs/hooks.html", "suites/routing/index.html", ".github/CONTRIBUTING.html"):
        assert (clone / "site" / page).is_file(), page
    assert "first word" in (clone / "site" / "docs" / "tutorial.html").read_text(encoding="utf-8")
    outside = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', (clone / "site" / "index.html").read_text("utf-8"))
    assert outside == []  # nothing is asked of another server when a page is read


def test_a_broken_link_a_broken_anchor_and_a_page_without_a_menu_are_found(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (clone / "docs" / "stray.md").write_text("# Stray\n\n[gone](gone.md), [no such heading](tutorial.md#11-rest)\n")
    code, said = built(clone, capfd)
    assert code == 1
    assert "docs/stray.md" in said
    assert "gone.md" in said
    assert "11-rest" in said


def test_the_commands_are_those_of_the_program() -> None:
    """Made anew where it fails: ``python docs/commands.py --write``."""
    assert read("commands.md") == runpy.run_path(str(DOCS / "commands.py"))["page"]()
