"""Arms of a scenario: what they are layered over, what they are called, and which ones say nothing about each other."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import ScenarioError
from pytest_dynperf.scenario.platform_files import platform_files
from pytest_dynperf.scenario.sweep import expand
from pytest_dynperf.scenario.toml_file import load_platform, load_scenario

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.scenario.case import Case

HEAD = """
schema = 1
question = "What does the cache give?"

[topology]
engine = "mocker"
model = "m"

[traffic]
isl = 64
osl = 8
temperature = 0

[axes]
"traffic.concurrency" = [1, 2]

[[expect.gate]]
metric = "output_token_throughput.v1"
statistic = "value"
tolerance = 0.03
"""
ARMS = """
[arms.off]
[arms.off-again]
[arms.cold]
topology.kv_cache.connector = "lmcache-mp"
traffic.cache = "cold"
[arms.warm]
topology.kv_cache.connector = "lmcache-mp"
traffic.cache = "warm"
"""
PARITY = """
[expect.parity]
reference = "off"
noise = "off-again"
texts = true
"""


def cases(directory: Path, text: str, *, overrides: tuple[str, ...] = ()) -> dict[str, Case]:
    path = directory / "suite" / "scenario.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    found = expand(load_scenario(path), load_platform(platform_files(path)["mocker"]), overrides=overrides)
    return {case.case_id: case for case in found}


def refused(directory: Path, text: str, *, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ScenarioError) as caught:
        cases(directory, text, overrides=overrides)
    assert str(caught.value).startswith(f"{directory / 'suite' / 'scenario.toml'}")
    return str(caught.value)


def test_every_arm_is_a_case_at_every_point(tmp_path: Path) -> None:
    found = cases(tmp_path, HEAD + ARMS + PARITY)
    assert list(found) == [
        *("agg-isl64-osl8-c1-off", "agg-isl64-osl8-c1-off-again", "agg-isl64-osl8-c2-off", "agg-isl64-osl8-c2-off-again"),
        *("agg-isl64-osl8-c1-cold", "agg-isl64-osl8-c1-warm", "agg-isl64-osl8-c2-cold", "agg-isl64-osl8-c2-warm"),
    ], "equal topologies follow each other"
    warm = found["agg-isl64-osl8-c2-warm"]
    assert (warm.arm, warm.point, warm.axes) == ("warm", "suite/traffic.concurrency=2", (("traffic.concurrency", "2"), ("arm", "warm")))
    assert (warm.topology.kv_cache.connector, warm.traffic.cache) == ("lmcache-mp", "warm")
    assert found["agg-isl64-osl8-c2-off"].topology.kv_cache.connector == "none"


def test_each_arm_knows_the_reference_of_its_own_point_and_the_reference_knows_none(tmp_path: Path) -> None:
    found = cases(tmp_path, HEAD + ARMS + PARITY)
    for concurrency in (1, 2):
        reference, noise = (found[f"agg-isl64-osl8-c{concurrency}-{name}"] for name in ("off", "off-again"))
        assert reference.reference is noise.reference is None
        for name in ("cold", "warm"):
            arm = found[f"agg-isl64-osl8-c{concurrency}-{name}"]
            assert (arm.reference, arm.noise) == (reference, noise)
            assert arm.expectation.parity.judges(name)
    assert not any(found["agg-isl64-osl8-c1-off"].expectation.parity.judges(name) for name in ("off", "off-again", None))


def test_arms_with_another_mode_or_fault_are_asked_the_same(tmp_path: Path) -> None:
    """Both stand in the id of a case, and prompts must not depend on either."""
    modes = "[arms.agg]\n[arms.disagg]\ntopology.mode = 'disagg'\n[arms.broken]\nfault.inject = 'kill worker'\n"
    found = cases(tmp_path, HEAD + modes + '[expect.parity]\nreference = "agg"\ntexts = true\n')
    points = {case.case_id: case.point for case in found.values()}
    assert {case_id.split("-")[0] for case_id in points} == {"agg", "disagg"}
    assert set(points.values()) == {"suite/traffic.concurrency=1", "suite/traffic.concurrency=2"}
    by_hand = replace(found["disagg-isl64-osl8-c1-disagg"], axes=())
    assert by_hand.point == "suite/disagg-isl64-osl8-c1", "who brings a case without axes says it by its id"


def test_without_parity_arms_stand_for_themselves(tmp_path: Path) -> None:
    found = cases(tmp_path, HEAD + ARMS)
    assert len(found) == 8
    assert all(case.reference is None for case in found.values())


def test_a_scenario_without_arms_is_what_it_was(tmp_path: Path) -> None:
    found = cases(tmp_path, HEAD)
    assert [(case.arm, case.point, case.name) for case in found.values()] == [
        (None, f"suite/agg-isl64-osl8-c{level}", f"suite/agg-isl64-osl8-c{level}") for level in (1, 2)
    ]


def test_an_arm_has_gates_of_its_own_and_the_others_keep_theirs(tmp_path: Path) -> None:
    gate = '[[arms.warm.expect.gate]]\nmetric = "time_to_first_token.v1"\nstatistic = "p50"\ntolerance = 0.1\n'
    found = cases(tmp_path, HEAD + ARMS + gate)
    metrics = {case.arm: [gate.cell.metric for gate in case.expectation.gates] for case in found.values()}
    assert metrics["warm"] == ["time_to_first_token.v1"]
    assert metrics["cold"] == metrics["off"] == ["output_token_throughput.v1"]


def test_a_platform_changes_one_arm(tmp_path: Path) -> None:
    text = HEAD + ARMS + PARITY + "[platform.mocker.arms.warm]\ntopology.kv_cache.host_gib = 3\n"
    found = cases(tmp_path, text)
    assert {case.arm: case.topology.kv_cache.host_gib for case in found.values()} == {
        "off": None,
        "off-again": None,
        "cold": None,
        "warm": 3,
    }


def test_an_override_meets_the_arms_that_state_the_key_and_arguments_meet_all(tmp_path: Path) -> None:
    text = HEAD + ARMS + '[arms.more]\ntopology.worker.args = ["--a"]\n'
    overrides = ("topology.kv_cache.connector=lmcache", "topology.worker.args=--b", "traffic.osl=4")
    found = {case.arm: case for case in cases(tmp_path, text, overrides=overrides).values()}
    assert {arm: case.topology.kv_cache.connector for arm, case in found.items()} == {
        **dict.fromkeys(("off", "off-again", "more"), "none"),
        **dict.fromkeys(("cold", "warm"), "lmcache"),
    }
    assert found["more"].topology.worker.args[-2:] == ("--a", "--b")
    assert found["off"].topology.worker.args[-1] == "--b"
    assert {case.traffic.osl for case in found.values()} == {4}


def test_an_arm_may_state_what_nothing_else_does(tmp_path: Path) -> None:
    text = HEAD.replace("isl = 64\n", "") + "[arms.short]\ntraffic.isl = 8\n[arms.long]\ntraffic.isl = 80\n"
    path = tmp_path / "suite"
    path.mkdir()
    assert set(cases(tmp_path, text)) >= {"agg-isl8-osl8-c1-short", "agg-isl80-osl8-c1-long"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PARITY, "expect.parity: it compares arms, and there is none"),
        ("[arms.off]\n", "arms: found one, 'off'"),
        (ARMS + "[expect.parity]\nlimit = 0.02\n", "expect.parity.reference is missing"),
        (ARMS + '[expect.parity]\nreference = "of"\n', "expect.parity.reference: there is no arm 'of' (did you mean 'off'?)"),
        (ARMS + '[expect.parity]\nreference = "off"\nnoise = "again"\n', "expect.parity.noise: there is no arm 'again'"),
        (ARMS + '[expect.parity]\nreference = "off"\nnoise = "off"\n', "expect.parity.noise: found 'off', which is the reference"),
        (ARMS.partition("[arms.cold]")[0] + PARITY, "there is no arm that would be held against them"),
        (ARMS + '[expect.parity]\nreference = "off"\n', "arms.off-again: it differs in nothing from the reference"),
        (
            ARMS.replace("[arms.off-again]\n", "") + '[expect.parity]\nreference = "off"\nnoise = "warm"\ntexts = true\n',
            "the arm 'warm' must be the reference 'off' once more",
        ),
        (ARMS + PARITY + "[arms.long]\ntraffic.isl = 80\n", "arms.long: traffic.isl is 80, in the reference 'off' 64"),
        (ARMS + PARITY + "limit = 1.5\n", "expect.parity.limit: found 1.5, allowed is a number above 0 and below 1"),
        (ARMS + PARITY + "limits = 0.5\n", "there is no key 'expect.parity.limits' (did you mean 'expect.parity.limit'?)"),
        (ARMS + "[arms.loud]\ntraffic.concurrency = 4\n", "arms.loud: 'traffic.concurrency' is an axis"),
        (ARMS + "[arms.loud]\ntopologie.mode = 'agg'\n", "arms.loud: there is no key 'topologie' (did you mean 'topology'?)"),
        (ARMS + "[arms.loud]\ntopology.mod = 'agg'\n", "arms.loud.topology: there is no key 'topology.mod'"),
        (ARMS + "[arms.loud]\ntraffic.cache = 'hot'\n", "arms.loud.traffic.cache: found 'hot', allowed is one of 'as-is', 'cold'"),
        (ARMS + '[arms.loud.axes]\n"traffic.osl" = [1, 2]\n', "arms.loud: there is no key 'axes'"),
        (ARMS + "[arms.loud.expect.parity]\nlimit = 0.1\n", "arms.loud.expect.parity: parity is between the arms"),
        (ARMS + "[arms.'a b']\n", "arms: found 'a b', allowed is a name of letters"),
        (ARMS + "[platform.mocker.arms.cool]\ntraffic.cache = 'cold'\n", "platform.mocker.arms: there is no arm 'cool' (did you mean"),
        (
            ARMS + "[platform.mocker.arms.cold]\ntraffic.cash = 'cold'\n",
            "platform.mocker.arms.cold.traffic: there is no key 'traffic.cash'",
        ),
        (
            ARMS + "[arms.disk]\ntraffic.cache = 'disk'\n",
            "in the arm 'disk': traffic.cache = 'disk' has the tier on disk serve, and there is none",
        ),
    ],
)
def test_arms_that_say_nothing_are_refused_with_their_place(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, HEAD + text)


QUESTIONS = """
[traffic.workload]
kind = "fact-table"
"""


def test_a_parity_that_would_compare_nothing_is_refused(tmp_path: Path) -> None:
    nothing = PARITY.replace("texts = true\n", "")
    found = refused(tmp_path, HEAD + ARMS + nothing)
    assert "expect.parity: nothing would be compared, since requests of traffic.workload.kind = 'synthetic' have no known answer" in found
    assert "expect.parity.texts = true" in found
    asked = HEAD.replace("osl = 8\n", "osl = 8\nrequests = 64\nignore_eos = false\n") + QUESTIONS + ARMS + nothing
    assert len(cases(tmp_path, asked)) == 8, "questions have known answers"


@pytest.mark.parametrize("arm", ["off", "off-again"])
def test_an_arm_that_is_measured_is_not_held_against_one_that_is_skipped(tmp_path: Path, arm: str) -> None:
    skip = '[platform.mocker.arms.{}]\nskip = "no room"\n'
    found = refused(tmp_path, HEAD + ARMS + PARITY + skip.format(arm))
    assert f"the arm '{arm}' is skipped on mocker (no room), and 'cold', which is held against it, is not" in found
    assert "skip arms.cold there too" in found
    both = HEAD + ARMS + PARITY + "".join(skip.format(name) for name in (arm, "cold", "warm"))
    assert sum(case.skip is not None for case in cases(tmp_path, both).values()) == 6
    assert all(case.skip for case in cases(tmp_path, HEAD + ARMS + PARITY + '[platform.mocker]\nskip = "nothing here"\n').values())


def test_a_warm_cache_without_a_cache_is_refused(tmp_path: Path) -> None:
    found = refused(tmp_path, HEAD + "[arms.off]\n[arms.warm]\ntraffic.cache = 'warm'\ntopology.kv_cache.prefix_caching = false\n")
    assert "in the arm 'warm': traffic.cache = 'warm' asks for caches that hold what was asked, and none holds anything" in found


def test_every_key_of_parity_arrives(tmp_path: Path) -> None:
    stated = {"limit": 0.02, "subject_limit": 0.1, "fixed": True, "max_unreadable": 0.2}
    text = "".join(f"{name} = {str(value).lower()}\n" for name, value in stated.items())
    parity = cases(tmp_path, HEAD + ARMS + PARITY + text)["agg-isl64-osl8-c1-warm"].expectation.parity
    assert asdict(parity) == {"reference": "off", "noise": "off-again", "texts": True, **stated}


def test_texts_are_compared_where_nothing_is_drawn_by_chance(tmp_path: Path) -> None:
    text = HEAD + ARMS + PARITY
    found = cases(tmp_path, text)
    assert {case.traffic.keep_text for case in found.values()} == {True}, "what is to be compared must be there"
    warm = found["agg-isl64-osl8-c1-warm"]
    assert (warm.reference, warm.noise) == (found["agg-isl64-osl8-c1-off"], found["agg-isl64-osl8-c1-off-again"])
    assert "set traffic.temperature = 0" in refused(tmp_path, text.replace("temperature = 0\n", ""))


def test_an_override_cannot_make_arms_equal_unnoticed(tmp_path: Path) -> None:
    text = HEAD + "[arms.cold]\ntraffic.cache = 'cold'\n[arms.warm]\ntraffic.cache = 'warm'\n[expect.parity]\nreference = 'cold'\n"
    assert "differs in nothing from the reference" in refused(tmp_path, text, overrides=("traffic.cache=warm",))


def test_what_was_asked_before_there_were_caches_is_still_the_same(tmp_path: Path) -> None:
    found = {case.arm: case.traffic.workload_hash for case in cases(tmp_path, HEAD + ARMS).values() if "-c1-" in case.case_id}
    (plain,) = {case.traffic.workload_hash for case in cases(tmp_path, HEAD).values() if case.case_id.endswith("-c1")}
    assert found["off"] == plain
    assert len({found["off"], found["cold"], found["warm"]}) == 3, "a warm case is never compared with a cold one"


def test_the_places_are_those_of_the_file(tmp_path: Path) -> None:
    assert re.search(
        r"scenario\.toml: arms\.loud\.topology\.worker\.count: found 0",
        refused(tmp_path, HEAD + ARMS + "[arms.loud]\ntopology.worker.count = 0\n"),
    )
