"""Answers graded by lm-eval instead of by our own client, to the same questions at the same endpoint; and where the two differ.

::

    lm_eval_python ──▶ graded_by_lm_eval ──▶ Graded ──┐
    one_run (our client) ──▶ RequestRecord ───────────────┴─▶ where_they_differ ──▶ Disagreement
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dynperf.errors import UsageError
from pytest_dynperf.load.lm_eval import interpreter_of, run_lm_eval
from pytest_dynperf.load.lm_eval_task import disagreements
from pytest_dynperf.run_directory import redact_file
from pytest_dynperf.scenario.traffic import ITEM_KINDS
from pytest_dynperf.secret import known_secrets
from pytest_dynperf.workload.mmlu import prompt_of
from pytest_dynperf.workload.stream import question_set, shots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_dynperf.endpoint import Endpoint
    from pytest_dynperf.load.lm_eval_task import Disagreement, Graded
    from pytest_dynperf.observation.request_record import RequestRecord
    from pytest_dynperf.scenario.traffic import Traffic

VARIABLE = "DYNPERF_LM_EVAL"
START_S = 300.0
"""What lm-eval may take beside the requests: its imports, its task files, its data sets."""


def lm_eval_python(environ: Mapping[str, str]) -> Path:
    """The interpreter of the lm-eval whose executable ``DYNPERF_LM_EVAL`` names, looked at: one start of it.

    :raises UsageError: when the variable is not set, or what it names is not lm-eval 0.4.13.
    """
    named = environ.get(VARIABLE, "").strip()
    if not named:
        msg = (
            f"lm-eval is not known here: set {VARIABLE} to its executable "
            "(pip install 'lm-eval[api]==0.4.13' in an environment of its own, 762 MB, puts lm_eval into its bin/)"
        )
        raise UsageError(msg)
    return interpreter_of(Path(named).expanduser())


def graded_by_lm_eval(
    python: Path,
    endpoint: Endpoint,
    traffic: Traffic,
    *,
    root: Path,
    directory: Path,
    deadline_s: float | None = None,
    progress: Callable[[float], None] = lambda _elapsed_s: None,
) -> tuple[Graded, ...]:
    """Every question of ``traffic.workload`` once, by lm-eval; files into ``directory``, which must be new, without secrets. lm-eval asks
    greedily and at least two at a time, whatever the traffic. ``deadline_s`` of ``None``: what the requests may take one after the other in
    their slots, and five minutes.

    :raises UsageError: for traffic without questions, and as :func:`~pytest_dynperf.load.lm_eval.run_lm_eval`.
    :raises WorkloadError: where the set is not here, and as :func:`~pytest_dynperf.load.lm_eval.run_lm_eval`.
    """
    if traffic.workload.kind not in ITEM_KINDS:
        msg = f"lm-eval is driven with questions only ({', '.join(sorted(ITEM_KINDS))}), asked is {traffic.workload.kind!r}"
        raise UsageError(msg)
    found = question_set(traffic.workload, root)
    longest_s = START_S + len(found.items) / traffic.slots * traffic.request_timeout_s
    try:
        return run_lm_eval(
            python,
            found,
            endpoint,
            directory=directory,
            shots=shots_of(traffic.workload),
            osl=traffic.osl,
            concurrency=traffic.slots,
            request_timeout_s=traffic.request_timeout_s,
            deadline_s=longest_s if deadline_s is None else deadline_s,
            progress=progress,
        )
    finally:
        secrets = known_secrets(os.environ, variables=(endpoint.api_key_variable,), headers=endpoint.headers)
        for path in sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()):
            redact_file(path, secrets)


def where_they_differ(
    graded: Iterable[Graded], records: Iterable[RequestRecord], traffic: Traffic, *, root: Path
) -> tuple[Disagreement, ...]:
    """The items on which lm-eval and our own client disagree, a different prompt included; empty where they agree item by item.

    :raises WorkloadError: where either has no answer, or two to an item; and where the set is not here any more.
    """
    found, shots = question_set(traffic.workload, root), shots_of(traffic.workload)
    prompts = {item.id: prompt_of(item, found, shots=shots) for item in found.items}
    return disagreements(graded, (record for record in records if record.measured), prompts)
