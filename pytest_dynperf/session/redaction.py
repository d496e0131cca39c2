"""Which secrets a session knows, and its results without them.

Results lose their secrets once, where a case's result is made (:class:`~pytest_dynperf.plugin.performance.Perf`) and where the session's
report is closed: everything that is written or printed afterwards is made from them.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, TypeVar

from pytest_dynperf.errors import RunDirectoryError
from pytest_dynperf.run_directory import redact_file
from pytest_dynperf.secret import known_secrets, redact_value

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.secret import Secrets
    from pytest_dynperf.session.plan import Settings

T = TypeVar("T")

KEPT = frozenset(
    {
        # By these a case, its files and its session are found again.
        "suite", "case_id", "node_id", "platform", "session_id", "stamp", "records", "logs",
        # These are words of a closed list, and numbers.
        "engine", "mode", "served_by", "router_mode", "planes", "connector", "method", "traffic", "fault", "expectation", "cell",
        "metric", "statistic", "values", "distributions", "parts", "absent", "certificate",
    }
)  # fmt: skip
"""Fields that are left as they are, and all that is below them."""


def session_secrets(settings: Settings) -> Secrets:
    """The secrets of this process's environment, of the options (``--dynperf-api-key-env``, ``--dynperf-header``) and of the command."""
    return known_secrets(os.environ, variables=(settings.api_key_variable,), arguments=_words(settings.command), headers=settings.headers)


def without_secrets(value: T, settings: Settings) -> T:
    """A case, an environment, a result or a report without the secrets of the session. About 10 µs a text."""
    return redact_value(value, session_secrets(settings), keep=KEPT)


def redact_logs(directory: Path, settings: Settings) -> tuple[str, ...]:
    """Take secrets out of the log files in ``directory``, which nobody writes to any more; what could not be done, in words. 30 ms per
    MiB of log.
    """
    secrets = session_secrets(settings)
    trouble = []
    for path in sorted(directory.glob("*.log*")):
        try:
            redact_file(path, secrets)
        except RunDirectoryError as error:
            trouble.append(str(error))
    return tuple(trouble)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
