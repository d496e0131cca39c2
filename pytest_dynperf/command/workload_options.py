"""Options that several commands of `dynperf workload` have, and how their values are read."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from pytest_dynperf.command.load_options import TRACE, Keyed

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPING = tuple(keyed for keyed in TRACE if keyed.option not in {"--speedup", "--block-size"})
"""Options that change a trace: multipliers and bounds of lengths."""
FORMAT = "JSON lines in mooncake's format"


def add_trace(parser: argparse.ArgumentParser) -> None:
    """The file to read, and how."""
    parser.add_argument("file", metavar="FILE", help=FORMAT)
    parser.add_argument("--block-size", metavar="TOKENS", type=whole(1), default=512, help="tokens of a block (default 512)")
    parser.add_argument("--sort", action="store_true", help="order the requests by their times first")


def add_shaping(parser: argparse.ArgumentParser) -> None:
    """Multipliers and bounds of lengths; values stay text, as the table of keys checks them."""
    add_keyed(parser.add_argument_group("multipliers and bounds"), SHAPING)


def add_keyed(group: argparse._ArgumentGroup, options: tuple[Keyed, ...]) -> None:
    """Options whose values are those of keys."""
    for keyed in options:
        group.add_argument(keyed.option, metavar=keyed.metavar, help=keyed.help)


def add_output(parser: argparse.ArgumentParser) -> None:
    """The file to write, and whether it may replace another."""
    parser.add_argument("--output", metavar="FILE", required=True, help="file to write")
    add_force(parser)
    add_seed(parser)


def add_force(parser: argparse.ArgumentParser) -> None:
    """``--force``."""
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """``--seed``, by default 0: a file is made again by the same command."""
    parser.add_argument("--seed", metavar="N", type=whole(0), default=0, help="of everything random (default 0): the same file again")


def whole(least: int) -> Callable[[str], int]:
    """Reads an integer of at least ``least``."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < least:
            msg = f"found {text!r}, allowed is an integer of at least {least}"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return read


def _number(text: str, allowed: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        msg = f"found {text!r}, allowed is {allowed}"
        raise argparse.ArgumentTypeError(msg)
    return value


def positive(text: str) -> float:
    """Reads a number greater than 0."""
    return _number(text, "a number greater than 0", 1e-9, 1e9)


def at_least_0(text: str) -> float:
    """Reads a number of at least 0."""
    return _number(text, "a number of at least 0", 0, 1e9)


def share(text: str) -> float:
    """Reads a number from 0 to 1."""
    return _number(text, "a number from 0 to 1", 0, 1)
