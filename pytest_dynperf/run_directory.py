"""Names of every file that a session writes, and the one way to write them. Nobody else builds paths.

Writing is atomic (temporary file in the same directory, fsync, rename): a full disk or a kill leaves the old file readable.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import tempfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_dynperf.errors import RunDirectoryError
from pytest_dynperf.secret import redact_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from pytest_dynperf.secret import Secrets

_PIECE = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")


def safe_name(text: str) -> str:
    """``text`` as one path component: separators and control characters become ``_``; ``.`` and ``..`` cannot result.

    >>> safe_name("../../etc/cron.d/x")
    '_.._etc_cron.d_x'
    """
    name = _UNSAFE.sub("_", text)[:180]
    return "_" + name.lstrip(".") if name.startswith(".") or not name else name


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Replace ``path`` by ``content`` (text as UTF-8), or leave it as it was. Without ``durable`` the disk is not waited for: the file
    outlives its writer, but perhaps not a power failure; for what is written while something is being measured.

    :raises RunDirectoryError: when the directory cannot be written or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}. Choose another directory or make room."
        raise RunDirectoryError(msg) from error


def redact_file(path: Path, secrets: Secrets) -> bool:
    """Take ``secrets``, and what has the shape of one, out of a file that nobody writes to any more; whether there were any.

    A file without one is read once and stays as it is. Else it is replaced whole, with its permissions: whoever reads meanwhile sees the
    old or the new one. ``*.gz`` is unpacked and packed again. Holds some MiB whatever the size.
    Takes 30 ms per MiB with ten secrets known, and again as much where there is one.

    :raises RunDirectoryError: when it cannot be read or replaced. Then it is as it was, secrets included.
    """
    try:
        with _opened(path) as file:
            if all(new == old for old, new in redact_stream(_pieces(file), secrets)):
                return False
        with _opened(path) as file, _replacing(path) as output:
            for _, new in redact_stream(_pieces(file), secrets):
                output.write(new)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"cannot take secrets out of {path}: {getattr(error, 'strerror', None) or error}. Do not pass the file on; delete it."
        raise RunDirectoryError(msg) from error
    return True


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write what is to stand at ``path``; it does so when the block ends without an error."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=file, mode="wb") as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, temporary)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def own_directory(directory: Path) -> Path:
    """``directory``, made if need be with mode 0700, and this user's own: no symbolic link, no other owner. For places whose name anybody
    can guess.

    :raises RunDirectoryError: when it is not, or cannot be made.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        status = directory.lstat()
    except OSError as error:
        msg = f"cannot make {directory}: {error.strerror or error}. Make room, or choose another place (TMPDIR, DYNPERF_LEASE_DIRECTORY)."
        raise RunDirectoryError(msg) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        msg = f"{directory} is not a directory of this user (uid {os.getuid()}): remove it, or choose another place"
        raise RunDirectoryError(msg)
    return directory


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One session's directory, ``reports/<UTC stamp>-<session id>/``."""

    root: Path

    @property
    def session_json(self) -> Path:
        """The machine-readable result."""
        return self.root / "session.json"

    @property
    def invocation_json(self) -> Path:
        """What the session was asked, and by what: so that one that was cut short can go on."""
        return self.root / "invocation.json"

    @property
    def report_html(self) -> Path:
        """The result for people."""
        return self.root / "report.html"

    @property
    def report_md(self) -> Path:
        """The result for pull requests, in Markdown."""
        return self.root / "report.md"

    @property
    def openmetrics(self) -> Path:
        """The result for a monitoring system."""
        return self.root / "openmetrics.txt"

    @property
    def proposals(self) -> Path:
        """What would become baselines, one document per case."""
        return self.root / "proposals"

    def records(self, suite: str, case_id: str, run: str) -> Path:
        """Request records of one run, one JSON object per line, packed when the run has ended."""
        return self.root / "records" / safe_name(suite) / safe_name(case_id) / f"{safe_name(run)}.jsonl.gz"

    def columns(self, suite: str, case_id: str, run: str) -> Path:
        """One run's course over time, which the page draws."""
        return self.root / "series" / safe_name(suite) / safe_name(case_id) / f"{safe_name(run)}.json.gz"

    def arm(self, suite: str, case_id: str) -> Path:
        """Which records of an arm other arms may be held against."""
        return self.root / "arms" / safe_name(suite) / f"{safe_name(case_id)}.json"

    def log(self, deployment: str, service: str) -> Path:
        """Standard output and error of one service."""
        return self.deployment(deployment) / f"{safe_name(service)}.log"

    def deployment(self, deployment: str) -> Path:
        """Directory of one deployment: logs, and the state that its services keep while they run."""
        return self.root / "deployments" / safe_name(deployment)

    def create(self) -> None:
        """Make the directory and prove that it can be written.

        :raises RunDirectoryError: when it cannot.
        """
        write_atomically(self.root / ".writable", "")
        (self.root / ".writable").unlink()


def point_latest(run: RunDirectory) -> None:
    """Make ``latest`` beside the run directory point to it (relative symbolic link, replaced atomically)."""
    link = run.root.parent / f".latest-{run.root.name}"
    try:
        link.symlink_to(run.root.name)
        link.replace(run.root.parent / "latest")
    except OSError as error:
        link.unlink(missing_ok=True)
        msg = f"cannot make {run.root.parent / 'latest'} point to {run.root.name}: {error.strerror or error}"
        raise RunDirectoryError(msg) from error
