"""Request records on their way to disk: plain lines while a run goes on, packed when it has ended.

Whatever ends a run, what had been written is there and can be read: of a run that was killed as ``run-1.jsonl``, of every other as
``run-1.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import RunDirectoryError
from pytest_dynperf.observation.record_file import PACKED, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_dynperf.observation.request_record import RequestRecord

_LEVEL = 4
"""A quarter to a third of the size; 6 takes twice as long for 3 % less."""
_PIECE = 1 << 20


@contextmanager
def record_file(path: Path | None) -> Iterator[Callable[[RequestRecord], None]]:
    """Takes records one by one, each written at once; ``None`` keeps none. What was at ``path`` is replaced.

    A ``path`` that ends in ``.gz`` is written without that ending, and packed when the block ends, however it ends.

    :raises RunDirectoryError: when a record cannot be written, with the file.
    """
    if path is None:
        yield lambda _: None
        return
    plain = path.with_suffix("") if path.suffix == PACKED else path
    try:
        plain.parent.mkdir(parents=True, exist_ok=True)
        if plain != path:
            path.unlink(missing_ok=True)  # of a run that is made again
        file = plain.open("wb")
    except OSError as error:
        raise _failed(plain, error) from error

    def sink(record: RequestRecord) -> None:
        try:
            file.write(encode(record))
            file.flush()
        except OSError as error:
            raise _failed(plain, error) from error

    try:
        yield sink
    finally:
        with suppress(OSError):  # a full disk was reported when the record was written
            file.close()
        if plain != path:
            with suppress(RunDirectoryError):  # the plain lines stay, and are found by the packed file's name
                pack(plain, path)


def write_records(path: Path, records: Iterable[RequestRecord]) -> None:
    """All records of a run at once.

    :raises RunDirectoryError: when they cannot be written.
    """
    with record_file(path) as sink:
        for record in records:
            sink(record)


def pack(plain: Path, packed: Path) -> None:
    """``plain`` as the gzip file ``packed``, which is there whole or not at all; then ``plain`` is removed.

    The same lines give the same bytes: no name and no time are in it. 15 ms per MiB on one core; holds 1 MiB.

    :raises RunDirectoryError: when it cannot be written; then ``plain`` is as it was.
    """
    try:
        with (
            plain.open("rb") as lines,
            tempfile.NamedTemporaryFile(dir=packed.parent, prefix=f".{packed.name[:40]}.", delete=False) as temporary,
        ):
            made = Path(temporary.name)
            try:
                with gzip.GzipFile(filename="", fileobj=temporary, mode="wb", compresslevel=_LEVEL, mtime=0) as file:
                    shutil.copyfileobj(lines, file, _PIECE)
                temporary.flush()
                made.chmod(0o644)
                made.replace(packed)
            except BaseException:
                made.unlink(missing_ok=True)
                raise
        plain.unlink()
    except OSError as error:
        raise _failed(packed, error) from error


def _failed(path: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(f"cannot write request records to {path}: {error.strerror or error}. Make room or choose another directory.")
