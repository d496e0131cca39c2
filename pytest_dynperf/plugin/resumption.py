"""``--dynperf-resume``: which session goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def lone_option(arguments: list[str]) -> None:
    """``--dynperf-resume suites/`` means the suites, not a session of that name: a value is written with ``=``."""
    arguments[:] = ["--dynperf-resume=latest" if argument == "--dynperf-resume" else argument for argument in arguments]


def selection_of(config: pytest.Config) -> dict[str, str]:
    """What pytest was told to collect, in its own words."""
    option = config.option
    return {
        "paths": " ".join(config.invocation_params.dir.joinpath(path).as_posix() for path in config.args),
        "-k": str(getattr(option, "keyword", "") or ""),
        "-m": str(getattr(option, "markexpr", "") or ""),
    }


def resumed_identity(config: pytest.Config, asked: str, *, reports: Path) -> dict[str, str]:
    """Id, stamp, seed and command of the session that goes on.

    :raises pytest.UsageError: when there is none, it is complete, or it still runs.
    """
    from pytest_dynperf.session.resume import find_resumable

    try:
        found = find_resumable(reports, asked, selection_of(config))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return {
        "session_id": found.session_id,
        "stamp": found.stamp,
        "seed": str(found.seed),
        "command": found.command,
        "part": str(len(found.resumed) + 2),
    }
