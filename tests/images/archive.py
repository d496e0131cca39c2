"""Entries of a file system, and the tar archive that an engine imports. The same entries give the same bytes."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One absolute ``path`` of an image: a copy of ``source``, a file of ``text``, a symbolic ``link``, or else a directory.

    ``mode`` None: as the source is executable or not, read by all. ``owner`` is user and group.
    """

    path: str
    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int | None = None
    owner: int = 0


def write_archive(entries: Iterable[Entry], out: IO[bytes]) -> int:
    """Write ``entries`` in the order of their paths, with the directories that they need, and return the bytes of their content.

    Modification times are those of the sources in whole seconds, because Python compiles a module again whose cached bytecode names
    another time; whatever has no source is of 1970.

    :raises ValueError: when a path is given twice, or is not absolute.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    if twice := [entry.path for entry, following in pairwise(ordered) if entry.path == following.path]:
        msg = f"an image cannot hold {twice[0]} twice"
        raise ValueError(msg)
    size, made = 0, {"/"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for entry in ordered:
            if not entry.path.startswith("/"):
                msg = f"{entry.path} is not an absolute path"
                raise ValueError(msg)
            for parent in reversed(PurePosixPath(entry.path).parents):
                if str(parent) not in made:
                    made.add(str(parent))
                    _add(tar, Entry(path=str(parent)))
            made.add(entry.path)
            size += _add(tar, entry)
    return size


def _add(tar: tarfile.TarFile, entry: Entry) -> int:
    header = tarfile.TarInfo(entry.path.lstrip("/"))
    header.uid = header.gid = entry.owner
    if entry.link is not None:
        header.type, header.linkname, header.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(header)
        return 0
    if entry.text is not None:
        content = entry.text.encode()
        header.size, header.mode = len(content), entry.mode or 0o644
        tar.addfile(header, io.BytesIO(content))
        return header.size
    if entry.source is None:
        header.type, header.mode = tarfile.DIRTYPE, entry.mode or 0o755
        tar.addfile(header)
        return 0
    status = entry.source.stat()
    header.size, header.mtime = status.st_size, int(status.st_mtime)
    header.mode = entry.mode or (0o755 if status.st_mode & 0o111 else 0o644)
    with entry.source.open("rb") as content_of_file:
        tar.addfile(header, content_of_file)
    return header.size
