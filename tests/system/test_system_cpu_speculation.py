"""A draft model that was swapped for a noisier one, on the real engine: fewer drafts are accepted, and that is a regression of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.installation.model_place import NOISES, noisy_model
from tests.fakes.installed_cpu import SUITES

if TYPE_CHECKING:
    from pytest_dynperf.installation.found import Installed
    from tests.fakes.installed_cpu import Bench

pytestmark = [pytest.mark.system, pytest.mark.long]

PROMPTS = SUITES / "speculative_decoding" / "recitations.jsonl"
RATE = "speculation_acceptance_rate.v1"
SCENARIO = f"""
schema = 1
question = "Are drafts accepted as before?"

[topology.kv_cache]
prefix_caching = false

[topology.speculation]
method = "draft_model"
tokens = 4
model = "DRAFT"

[traffic]
isl = 139
osl = 16
concurrency = 1
requests = 30
warmup_requests = 1
temperature = 0
ignore_eos = true

[traffic.workload]
kind = "prompts"
file = "{PROMPTS.name}"

[[expect.gate]]
metric = "{RATE}"
statistic = "value"
tolerance = 0.02
"""


def test_a_noisier_draft_is_a_regression_of_the_acceptance(cpu_bench: Bench, installed: Installed) -> None:
    """The draft keeps its name and changes its weights, as where somebody publishes a new one."""
    assert installed.model is not None
    draft = cpu_bench.root / "draft"
    suite = cpu_bench.write(SCENARIO.replace("DRAFT", str(draft)))
    shutil.copy(PROMPTS, suite)

    shutil.copytree(installed.model, draft)
    before = cpu_bench.run("--update-baselines")
    assert before.code == 0, before.text
    case_id = before.only()["case_id"]
    shutil.rmtree(draft)
    shutil.copytree(noisy_model(installed.model, max(NOISES)), draft)
    after = cpu_bench.run()

    assert after.code == 1, after.text
    assert after.outcomes() == {case_id: "regressed"}, after.text
    held, lost = before.values(case_id, RATE), after.values(case_id, RATE)
    assert held is not None
    assert lost is not None
    assert min(held) > 0.5, "the model drafts for itself"
    assert max(lost) < min(held) - 0.1, (held, lost)
    assert "speculation_acceptance_rate" in after.words
