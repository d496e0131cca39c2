"""Builds the documentation as a site: ``python docs/site.py [DIRECTORY]``, by default into build/site.

Pages lie where they are read on a forge: in docs/, beside the suites, beside the code. They are copied, as they lie, to build/docs/pages,
so that every link between them is good in both places; mkdocs makes the site of that. Strict: a page that is in no menu, and a link to a
page or a heading that is not there, end it with an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "docs/*.md",
    "docs/examples/**/*.md",
    "suites/*/README.md",
    "baselines/README.md",
    "reports/README.md",
    "benchmarks/**/*.md",
    ".github/CONTRIBUTING.md",
)


def pages() -> list[Path]:
    """Every page of the site, relative to the repository."""
    return sorted({path.relative_to(ROOT) for pattern in PAGES for path in ROOT.glob(pattern)})


def gather(directory: Path) -> None:
    """Copy every page to its place below ``directory``."""
    shutil.rmtree(directory, ignore_errors=True)
    for page in pages():
        copy = directory / page
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / page, copy)


def build(site: Path, work: Path) -> int:
    """Make the site in ``site``; ``work`` takes what is needed on the way. The exit status of mkdocs."""
    gather(work / "pages")
    configuration = work / "mkdocs.yml"
    shutil.copyfile(ROOT / "docs" / "mkdocs.yml", configuration)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(configuration), "--site-dir", str(site)]
    # Without --quiet, which would also keep it from counting warnings; of its words only those are shown.
    done = subprocess.run(command, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, stderr=subprocess.PIPE, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith(("INFO", "DEBUG"))]
    sys.stderr.write("".join(f"{line}\n" for line in said))
    return done.returncode


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    sys.exit(build(target.resolve(), ROOT / "build" / "docs"))
