"""What the page carries of others is what was published, with its licence."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest_dynperf.report

UPLOT = Path(pytest_dynperf.report.__file__).parent / "static/vendor/uplot"


def test_every_file_is_the_one_that_was_fetched() -> None:
    first, *lines = (UPLOT / "VERSION").read_text().splitlines()
    assert re.fullmatch(r"uplot [\d.]+, MIT, from npm: sha512-[A-Za-z0-9+/=]+", first)
    hashes = {line.split()[1]: line.split()[0] for line in lines}
    assert set(hashes) == {path.name for path in UPLOT.iterdir()} - {"VERSION", "update.sh"}
    for name, digest in hashes.items():
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest, name
    assert "MIT" in (UPLOT / "LICENSE").read_text()


def test_it_can_stand_in_a_script_and_loads_nothing() -> None:
    script, style = (UPLOT / "uPlot.iife.min.js").read_text(), (UPLOT / "uPlot.min.css").read_text()
    assert "</script" not in script
    assert not re.search(r"\bimport\s*\(|XMLHttpRequest|fetch\(|eval\(|new Function", script)
    assert "url(" not in style
    assert "@import" not in style
