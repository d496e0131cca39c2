"""One load process of several: ``python -m pytest_dynperf.load.process DIRECTORY NUMBER``.

Everything it needs lies in the directory (see ``workplace``) when it starts, but for keys, which it inherits with the environment. It ends
with its segment, when told to stop, or at once when its parent goes away: then the pipe at its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from pytest_dynperf.load.board import Board, Column, State
from pytest_dynperf.load.driver import Driver
from pytest_dynperf.load.segment import encode
from pytest_dynperf.load.share import read_share
from pytest_dynperf.load.supply import Spool
from pytest_dynperf.load.workplace import Workplace

_POLL_S = 0.001


def main(arguments: list[str]) -> int:
    """Do the share; 0 when its segment was written."""
    workplace, number = Workplace(Path(arguments[0])), int(arguments[1])
    share = read_share(workplace.share(number))
    board = Board.open(workplace.board)
    supply = Spool(workplace.spool(number))

    def orphaned() -> None:
        shutil.rmtree(workplace.root, ignore_errors=True)  # nobody else is left to do it
        parent = workplace.root.parent
        if parent.name.startswith("dynperf-"):  # the session's own directory, once it is empty
            with suppress(OSError):
                parent.rmdir()
        os._exit(1)

    async def agree() -> int:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), orphaned)  # nothing is ever written there: readable means closed
        board.rows[number, Column.STATE] = State.LOADING
        while not (start_ns := int(board.common[Column.START_NS])):  # noqa: ASYNC110 another process sets it
            await asyncio.sleep(_POLL_S)
        return start_ns

    driver = Driver(share, supply, board, sink=lambda _: None, tick=lambda _: None, agree=agree)
    try:
        segment = driver.run()
    finally:
        supply.close()
    if segment.incident is not None:
        board.common[Column.STOP] = 1
    path = workplace.segment(number)
    partial = path.with_suffix(".partial")
    partial.write_bytes(encode(segment))
    partial.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
