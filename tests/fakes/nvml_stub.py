"""Builds the stub of ``libnvidia-ml.so.1``, and runs programs that load it in place of the driver's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_stub.c")


def build(directory: Path) -> Path:
    """The directory with the library in it. Without a compiler the test is skipped, and fails where CI is set."""
    compiler = shutil.which("cc")
    if compiler is None:
        message = "needs a C compiler (cc) for the stub of the NVIDIA driver library, found none"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    argv = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(directory / "libnvidia-ml.so.1"), str(SOURCE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def environment(library: Path, script: Path) -> dict[str, str]:
    """That of a program which finds the stub, and in it the GPUs of ``script``."""
    rest = {name: value for name, value in os.environ.items() if name not in {"LD_LIBRARY_PATH", "NVML_STUB"}}
    return {**rest, "LD_LIBRARY_PATH": str(library), "NVML_STUB": str(script)}


PRELUDE = """
import json, os
from pathlib import Path

def script(**lines):
    # Replaced, not rewritten: the stub reads it anew, and never half of it.
    given = lines.pop("lines", {})
    new = Path(os.environ["NVML_STUB"] + ".new")
    new.write_text("".join(f"{key}={value}\\n" for key, value in {**lines, **given}.items()))
    new.replace(os.environ["NVML_STUB"])

def say(what):
    print(json.dumps(what, default=lambda other: {"absent": other.reason}))
"""


def run(library: Path, script: Path, program: str) -> object:
    """What ``program`` says, last line, as JSON. It has ``script(lines={"0.reasons": 8})`` and ``say(what)``."""
    argv = [sys.executable, "-c", PRELUDE + program]
    done = subprocess.run(argv, env=environment(library, script), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: object = json.loads(done.stdout.splitlines()[-1])
    return answer
