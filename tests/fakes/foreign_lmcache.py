"""LMCache's server with a defect: it finds blocks by their place alone, and so hands out those of whichever prompt came first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """#!{python}
import sys

from lmcache.v1.multiprocess import token_hasher

right = token_hasher._make_blake3_hash_func


def blind():
    of = right()
    return lambda found: of((found[0], (0,) * len(found[1]), found[2]))


token_hasher._make_blake3_hash_func = blind

from lmcache.cli.main import main

sys.exit(main())
"""


def foreign_lmcache(lmcache: Path, directory: Path) -> Path:
    """A program ``lmcache`` below ``directory`` that runs the server of the installed ``lmcache``, with the defect."""
    place = directory / "planted" / "bin"
    place.mkdir(parents=True)
    program = place / "lmcache"
    program.write_text(PROGRAM.format(python=lmcache.parent / "python"))
    program.chmod(0o755)
    (place / "python").symlink_to(lmcache.parent / "python")
    return program
