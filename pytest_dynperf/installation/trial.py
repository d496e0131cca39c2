"""The end of an installation: one engine is started on the tiny model in a process, asked, and must answer. 15 to 40 s."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.logged_process import last_line, run_logged, tail
from pytest_dynperf.installation.pip_words import last_words
from pytest_dynperf.installation.visitor import visiting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.installation.logged_process import Account

LIMIT_S = 600.0
PROGRAM = "installation.trial_program"
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
}


def try_completion(python: Path, model: Path, log: Path, account: Account, keep: tuple[int, ...] = ()) -> None:
    """Ask the engine of ``python``; its output is appended to ``log``.

    :raises InstallationError: when it does not start or answers wrongly.
    """
    account.say("starting the engine and asking it: 15 to 40 s")
    start = log.stat().st_size if log.exists() else 0
    argv = visiting(python, PROGRAM, str(model))
    status = run_logged(argv, log=log, account=account, environment=_environment(log.parent), limit_s=LIMIT_S, keep=keep)
    if status:
        msg = (
            f"the engine was installed, and does not answer (status {status}). Its last lines:\n{last_words(tail(log, start))}\n"
            f"All of it is in {log}"
        )
        raise InstallationError(msg)
    answer = next((line for line in tail(log, start).splitlines()[::-1] if line.startswith("answered ")), last_line(log, start))
    account.say(f"  {answer}")


def _environment(cache: Path) -> Mapping[str, str]:
    """Nothing of ours or the user's that changes what vLLM does; caches stay below ours."""
    left = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "TZ") if name in os.environ}
    return left | _SETTINGS | {"VLLM_CACHE_ROOT": str(cache / "vllm-cache")}
