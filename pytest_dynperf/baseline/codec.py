"""A document as JSON text and back. Schema 2; sorted keys, 5 significant digits, cells as ``time_to_first_token.v1/p50``.

Reading is strict: what is not exactly a document is refused with the place and the remedy, because a baseline that is half understood
judges wrongly without a word. What ``quick_document`` cannot vouch for is read by ``strict_document``, which finds the words for what is
wrong. Older schemas are read through ``migration``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pytest_dynperf.baseline.document import SCHEMA
from pytest_dynperf.baseline.migration import migrated
from pytest_dynperf.baseline.quick_document import quickly
from pytest_dynperf.baseline.strict_document import document_of
from pytest_dynperf.baseline.strict_json import Flaw, as_table, integer_at, parsed
from pytest_dynperf.errors import BaselineError
from pytest_dynperf.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.baseline.document import Baseline, BaselineRun
    from pytest_dynperf.measurement.measurement import Distribution

_SIGNIFICANT_DIGITS = 5
_OURS, _THEIRS, _BEFORE = "<" * 7, ">" * 7, "|" * 7
_CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7}) ?", re.MULTILINE)
_RESTORE = "Restore the file from version control, or delete it and accept a new baseline with --update-baselines."


# ---- writing


def encode(baseline: Baseline) -> str:
    """JSON text that ends in a newline. Equal documents give equal text.

    :raises BaselineError: for a value that is not finite, which JSON cannot hold, or below 0, which nothing measured is: no judge could
        use it.
    """
    below = next((f"{cell} of {value:g}" for run in baseline.runs for cell, value in run.values.items() if value < 0), None)
    if below is not None:
        msg = f"the baseline of {baseline.suite}/{baseline.case_id} holds {below}, and nothing that is measured is below 0; measure again"
        raise BaselineError(msg)
    document = {
        "schema": SCHEMA,
        "suite": baseline.suite,
        "case_id": baseline.case_id,
        "session_id": baseline.session_id,
        "stamp": baseline.stamp,
        "environment": baseline.environment_name,
        "epoch": baseline.epoch,
        "reason": baseline.reason,
        "key": dict(baseline.key),
        "provenance": dict(baseline.provenance),
        "metrics": {metric: _metric_to_json(metric, unit, baseline) for metric, unit in baseline.units.items()},
        "runs": [_run_to_json(run) for run in baseline.runs],
    }
    try:
        return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        msg = f"the baseline of {baseline.suite}/{baseline.case_id} holds a value that is not finite ({error}); measure again"
        raise BaselineError(msg) from error


def _rounded(value: float) -> float:
    """Whole numbers stay what they are: a count is compared exactly."""
    return value if float(value).is_integer() else float(f"{value:.{_SIGNIFICANT_DIGITS}g}")


def _metric_to_json(metric: str, unit: str, baseline: Baseline) -> dict[str, object]:
    known = CATALOGUE.get(metric)
    direction, kind = baseline.unknown_metrics.get(metric, (None, None)) if known is None else (known.direction.value, known.kind.value)
    return {"unit": unit, "direction": direction, "kind": kind}


def _run_to_json(run: BaselineRun) -> dict[str, object]:
    return {
        "values": {f"{cell.metric}/{cell.statistic}": _rounded(value) for cell, value in run.values.items()},
        "distributions": {metric: _distribution_to_json(distribution) for metric, distribution in run.distributions.items()},
        # Counts, so not rounded: of 1,000,000 and 999,998 the two that are missing are what counts.
        "parts": {metric: list(parts) for metric, parts in run.parts.items()},
        "requests": run.requests,
        "errors": run.errors,
        "duration_s": _rounded(run.duration_s),
    }


def _distribution_to_json(distribution: Distribution) -> dict[str, object]:
    return {
        "n": distribution.n,
        "mean": _rounded(distribution.mean),
        "sd": None if distribution.sd is None else _rounded(distribution.sd),
        "sd_log": None if distribution.sd_log is None else _rounded(distribution.sd_log),
        "min": _rounded(distribution.minimum),
        "max": _rounded(distribution.maximum),
        "percentiles": {name: _rounded(value) for name, value in distribution.percentiles.items()},
    }


# ---- reading


def decode(text: str, *, file: Path) -> Baseline:
    """The document that ``text`` holds; ``file`` is named in errors and not read.

    :raises BaselineError: for anything but a document of this schema or an older one whose units and directions are those of the
        catalogue; says what is wrong and what to do.
    """
    # A marker stands at the start of a line, where no document that can be read has one.
    if (document := quickly(text)) is not None:
        return document
    if (_OURS in text or _THEIRS in text or _BEFORE in text) and _CONFLICT.search(text):
        msg = (
            f"{file} holds conflict markers of a merge. Every accepted session has a file of its own, so no merge is needed: "
            "take either side whole (git checkout --ours or --theirs)."
        )
        raise BaselineError(msg)
    return _strictly(text, file)


def _strictly(text: str, file: Path) -> Baseline:
    try:
        table = as_table(parsed(text), "the document")
        schema = integer_at(table, "schema", "the document")
        if schema > SCHEMA:
            msg = f"{file} has schema {schema}, this version reads up to {SCHEMA}. Upgrade pytest-dynperf (pip install -U pytest-dynperf)."
            raise BaselineError(msg)
        return document_of(migrated(table, schema))
    except Flaw as error:
        msg = f"{file} is not a baseline document: {error}. {_RESTORE}"
        raise BaselineError(msg) from error
