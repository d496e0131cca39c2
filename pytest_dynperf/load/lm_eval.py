"""lm-eval as a load generator that grades: a process of an environment of its own, because it is large and pins what others pin otherwise.

In: an executable, a question set, an endpoint. Out: what lm-eval made of each item. Nothing is fetched: its tasks and their data are files
that are written for it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError, WorkloadError
from pytest_dynperf.load import lm_eval_program
from pytest_dynperf.load.lm_eval_task import environment, read_samples, settings, task_files
from pytest_dynperf.load.outside_process import last_words, run_outside, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.lm_eval_task import Graded
    from pytest_dynperf.workload.mmlu import QuestionSet

LOG = "lm-eval.log"
TRIED = "0.4.13"
PROBE_S = 60.0

_REMEDY = (
    f"Name the executable of lm-eval: pip install 'lm-eval[api]=={TRIED}' in an environment of its own (762 MB) puts lm_eval into its bin/."
)
_VERSION = """
from importlib.metadata import PackageNotFoundError, version
try:
    print(version("lm_eval"))
except PackageNotFoundError:
    pass
"""
_ERROR = re.compile(r"Exception:(.*?)(?:, \(no outputs\))?, retrying")
_UNANSWERED = ("Could not parse generations", "API request failed")


def interpreter_of(executable: Path) -> Path:
    """The Python of the environment whose ``lm_eval`` this is, looked at: one start of it.

    :raises UsageError: when there is none beside it, or lm-eval is not in its environment.
    """
    python = executable.parent / "python"
    if not python.exists():
        msg = f"{executable} has no python beside it. {_REMEDY}"
        raise UsageError(msg)
    version = said(python, "-c", _VERSION, timeout_s=PROBE_S, remedy=_REMEDY).strip()
    if version != TRIED:
        msg = (
            f"the environment of {executable} has {f'lm-eval {version}' if version else 'no lm-eval'}; {TRIED} is known to work. {_REMEDY}"
        )
        raise UsageError(msg)
    return python


def run_lm_eval(
    python: Path,
    found: QuestionSet,
    endpoint: Endpoint,
    *,
    directory: Path,
    shots: int,
    osl: int,
    concurrency: int,
    request_timeout_s: float,
    deadline_s: float,
    progress: Callable[[float], None] = lambda _elapsed_s: None,
) -> tuple[Graded, ...]:
    """Ask every item of ``found`` once, greedily. ``python``: :func:`interpreter_of`. Writes ``tasks/``, ``settings.json``, ``program.py``,
    ``samples.jsonl`` and ``lm-eval.log`` into ``directory``, which must be new. ``osl`` bounds an answer in tokens. ``progress`` is told
    the seconds since the start.

    :raises UsageError: when it cannot be started, for such an endpoint, or when ``directory`` holds another run.
    :raises WorkloadError: when it fails, as where the server goes away before the end, passes the deadline, took a refusal for an answer,
        or does not report every item: there is no accuracy of a part.
    """
    tasks, samples, log = directory / "tasks", directory / "samples.jsonl", directory / LOG
    if tasks.exists():
        msg = f"{directory} already holds a run of lm-eval: give an empty directory"
        raise UsageError(msg)
    told = settings(
        endpoint,
        found.subjects,
        tasks=str(tasks),
        output=str(samples),
        concurrency=concurrency,
        request_timeout_s=request_timeout_s,
    )
    seen = environment(os.environ, endpoint, cache=str(directory / "cache"))
    tasks.mkdir(parents=True)
    for name, text in task_files(found, str(tasks), endpoint=endpoint, shots=shots, osl=osl).items():
        (tasks / name).write_text(text, encoding="utf-8")
    (directory / "settings.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    # Python finds modules beside its program first, and beside ours stands one called lm_eval.
    program = shutil.copy(lm_eval_program.__file__, directory / "program.py")
    arguments = [str(program), str(directory / "settings.json")]
    ended = run_outside(python, arguments, log=log, environment=seen, deadline_s=deadline_s, progress=progress)
    if ended.late:
        msg = f"lm-eval did not end within {deadline_s:g} s and was stopped: there is no accuracy. {last_words(log)}"
        raise WorkloadError(msg)
    _refuse_failure(ended.status, log)
    return read_samples(samples.read_text(encoding="utf-8") if samples.exists() else "", found)


def _refuse_failure(status: int, log: Path) -> None:
    written = log.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        msg = f"lm-eval ended with exit status {status}: there is no accuracy. {_first_error(written)}{last_words(log)}"
        raise WorkloadError(msg)
    if sign := next((sign for sign in _UNANSWERED if sign in written), None):
        msg = f"lm-eval took what was no answer for one ({sign!r} in its log): there is no accuracy. {last_words(log)}"
        raise WorkloadError(msg)


def _first_error(written: str) -> str:
    """What went wrong first: at its end, the log holds what followed from that, over and over."""
    found = _ERROR.search(written)
    return f"The first of its requests that failed: {found[1][:300]}. " if found else ""
