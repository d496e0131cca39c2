"""What this machine has that an image needs: programs and libraries of installed packages, the interpreter, shared libraries."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.images.archive import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PYTHON = "/opt/python"
"""Where an image has the interpreter and its standard library."""
TAG = f"python{sys.version_info.major}.{sys.version_info.minor}"
NOT_NEEDED = frozenset({"site-packages", "dist-packages", "test", "tests", "idlelib", "turtledemo", "tkinter", "ensurepip", "lib2to3"})
"""Parts of the standard library that a service does not need: 15 times the size of the rest where a user installed packages."""
FOUND_LATE = ("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2")
"""What glibc opens by name only when threads end or names are resolved; which of them exist depends on its version."""
LDD_LINE = re.compile(r"^\s+(\S+)(?: => (not found|/\S+))? ?(?:\(0x[0-9a-f]+\))?$")


class ContentsError(Exception):
    """This machine lacks something that an image needs; the message says what, and how to get it."""


def distribution(name: str) -> metadata.Distribution:
    """The installed package ``name``.

    :raises ContentsError: when it is not installed.
    """
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        msg = f'{name} is not installed in {sys.prefix}, and an image needs it: pip install -e ".[dev,mocker]"'
        raise ContentsError(msg) from None


def closure(name: str) -> dict[str, metadata.Distribution]:
    """``name`` and all that it requires here, by canonical name: what this interpreter's markers and asked extras select (0.3 s)."""
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()
    waiting = [(name, "")]
    while waiting:
        wanted, extra = waiting.pop()
        key = canonicalize_name(wanted)
        if (key, extra) in done:
            continue
        done.add((key, extra))
        found[key] = found.get(key) or distribution(wanted)
        for line in found[key].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, asked) for asked in ("", *sorted(requirement.extras))]
    return dict(sorted(found.items()))


def program(name: str, file: str) -> Path:
    """The executable ``file`` that the package ``name`` carries, and not the Python script of the same name that starts it.

    :raises ContentsError: when there is none.
    """
    for path in distribution(name).files or ():
        located = Path(str(path.locate()))
        if path.name == file and located.is_file():
            with located.open("rb") as content:
                if content.read(4) == b"\x7fELF":
                    return located.resolve()
    msg = f"the package {name} has no program called {file}: was it built for this platform?"
    raise ContentsError(msg)


def package_files(distributions: Iterable[metadata.Distribution], target: str) -> Iterator[Entry]:
    """Files of ``distributions`` below ``target``, a site-packages directory. No scripts: they name this machine's interpreter."""
    seen: set[str] = set()
    for one in distributions:
        for path in one.files or ():
            source = Path(str(path.locate()))
            if path.parts[0] == ".." or str(path) in seen or not source.is_file():
                continue
            seen.add(str(path))
            yield Entry(path=f"{target}/{path}", source=source)


def interpreter() -> Path:
    """The real executable of this interpreter, outside of any environment."""
    return Path(sys._base_executable).resolve()  # type: ignore[attr-defined] # the one place where a venv tells it


def standard_library() -> Iterator[Entry]:
    """The standard library below :data:`PYTHON`, with bytecode for this interpreter only."""
    root = Path(sysconfig.get_path("stdlib"))
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in NOT_NEEDED and not name.startswith("config-"))
        for name in sorted(names):
            source = Path(directory, name)
            stale = source.suffix == ".pyc" and not name.endswith(f".{sys.implementation.cache_tag}.pyc")
            # Alone it would bring the X Window System into the image.
            if source.is_file() and not stale and not name.startswith("_tkinter."):
                yield Entry(path=f"{PYTHON}/{sys.platlibdir}/{TAG}/{source.relative_to(root)}", source=source)


def shared_libraries(files: Iterable[Path], *, required: Iterable[Path] = (), inside: Path | None = None) -> Iterator[Entry]:
    """Shared libraries that ``files`` and ``required`` load, as ``ldd`` finds them, in the loader's own directories.

    Libraries below ``inside`` (without symbolic links) are left out: they travel with their package.

    :raises ContentsError: when ``required`` lacks a library. What other files lack is a device's library, which they can live without.
    """
    needed = _ldd([*required])
    if missing := sorted(name for name, path in needed.items() if path is None):
        msg = f"{', '.join(missing)}: not found by the loader of this machine, and {', '.join(map(str, required))} needs it"
        raise ContentsError(msg)
    found = _ldd([*files]) | needed
    libraries = {name: path for name, path in found.items() if path and not (inside and path.resolve().is_relative_to(inside))}
    if "libc.so.6" not in libraries:
        return
    home = libraries["libc.so.6"].parent
    libraries |= {name: home / name for name in FOUND_LATE if (home / name).exists()}
    for name, path in sorted(libraries.items()):
        # The loader itself is named by an absolute path in each executable; all others are looked up by name.
        target = name if name.startswith("/") else f"{home}/{Path(name).name}"
        yield Entry(path=target, source=path, mode=0o755)


def _ldd(files: list[Path]) -> dict[str, Path | None]:
    """Library → where the loader finds it, None where it does not. A static program needs none."""
    if not files:
        return {}
    done = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    found: dict[str, Path | None] = {}
    for line in done.stdout.splitlines():
        if (match := LDD_LINE.match(line)) and not match[1].startswith("linux-vdso"):
            where = match[2] or match[1]
            if where.startswith("/"):
                found[match[1]] = Path(where)
            elif where == "not found":
                found.setdefault(match[1], None)
    return found


def tool(name: str) -> Path:
    """A program of this machine, such as ``sh``; servers lie in ``/usr/sbin``, where not everybody looks.

    :raises ContentsError: when it is not there.
    """
    where = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if where is None:
        msg = f"{name} is not on PATH, and an image needs it{' (Debian: apt-get install nginx-light)' if name == 'nginx' else ''}"
        raise ContentsError(msg)
    return Path(where).resolve()


def digests(files: Iterable[Path]) -> dict[str, str]:
    """``file <name>`` → the first 16 hexadecimal digits of its SHA-256."""
    found = {}
    for path in files:
        with path.open("rb") as content:
            found[f"file {path.name}"] = hashlib.file_digest(content, "sha256").hexdigest()[:16]
    return found
