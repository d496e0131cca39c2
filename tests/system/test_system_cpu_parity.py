"""On the real engine: answers that a cache has changed are red, and those that nobody can read, or that are not there, are no accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.foreign_lmcache import foreign_lmcache
from tests.fakes.mumbling_model import mumbling_model

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.installation.found import Installed
    from tests.fakes.installed_cpu import Bench

pytestmark = pytest.mark.system

ITEMS = 32
SCENARIO = f"""
schema = 1
question = "Does the cache change an answer?"

[topology]
worker.args = "--num-gpu-blocks-override 18"

[traffic]
isl = 1100
osl = 4
concurrency = 1
requests = {ITEMS}
warmup_requests = 1
runs = 3
ignore_eos = false
temperature = 0
max_failures_in_a_row = 100

[traffic.workload]
kind = "fact-table"
limit = {ITEMS // 8}

[arms.off]

[arms.warm]
traffic.cache = "warm"

# The facts of another table make one answer in five a text without a letter: lost like a wrong one, as long as it is not all of them.
[expect.parity]
reference = "off"
max_unreadable = 0.5

[[expect.gate]]
metric = "accuracy.v1"
statistic = "value"
tolerance = 0.01
"""
LMCACHE = """
[arms.warm.topology.kv_cache]
connector = "lmcache-mp"
host_gib = 1
chunk_tokens = 128
"""
OFF, WARM = "agg-isl1100-osl4-c1-off", "agg-isl1100-osl4-c1-warm"


def test_blocks_of_another_prompt_lose_items(cpu_bench: Bench, installed: Installed) -> None:
    """What is fetched is fast, the hits are there, and the facts are those of another table."""
    assert installed.lmcache is not None
    planted = foreign_lmcache(installed.lmcache, cpu_bench.root)
    cpu_bench.variables.update({"DYNPERF_ENGINE_CPU": str(installed.python), "DYNPERF_ENGINE_CPU_LMCACHE": str(planted)})
    cpu_bench.write(SCENARIO + LMCACHE)
    run = cpu_bench.run("--update-baselines")
    assert run.code == 1, run.text
    assert run.outcomes() == {OFF: "no baseline", WARM: "regressed"}, run.text
    assert run.values(OFF, "accuracy.v1") == [1.0, 1.0, 1.0]
    accuracy = run.case(WARM)["parity"]["accuracy"]
    assert accuracy["n"] == ITEMS
    assert accuracy["losses"] > ITEMS / 3, accuracy
    assert accuracy["gains"] == 0
    assert "lost: block-" in run.text
    assert not [path for path in cpu_bench.baselines() if WARM in str(path)]
    assert run.case(WARM)["verdict"]["parity"] == "regressed"


@pytest.mark.parametrize(
    ("letters_read", "said"),
    [
        pytest.param("hm", "could not be read", id="unreadable"),
        pytest.param("", "no chunk had content", id="empty", marks=pytest.mark.long),
    ],
)
def test_answers_that_say_nothing_are_no_accuracy(
    cpu_bench: Bench, installed: Installed, tmp_path: Path, letters_read: str, said: str
) -> None:
    """In both arms alike: none of it is 0 %, and none of it is equal."""
    assert installed.model is not None
    model = mumbling_model(installed.model, tmp_path / "model", letters_read=letters_read)
    cpu_bench.write(SCENARIO)
    run = cpu_bench.run(f"--dynperf-set=topology.model={model}", "--update-baselines")
    assert run.code == 1, run.text
    assert run.outcomes() == {OFF: "invalid", WARM: "invalid"}, run.text
    assert said in run.words, run.text
    assert cpu_bench.baselines() == []
