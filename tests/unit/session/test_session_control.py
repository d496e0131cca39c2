"""What the texts of --dynperf-control mean, and what they make of a case."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dynperf.baseline.document import Baseline
from pytest_dynperf.errors import DeploymentError, UsageError
from pytest_dynperf.scenario.case import Case
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.topology import KvCache, Role, Router, Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.control import (
    Control,
    arguments_of,
    control_of,
    differing,
    fits_side_by_side,
    interpreter,
    missing_versions,
    not_comparable,
    parse_control,
)

CASE = Case(
    suite="suite",
    case_id="c2",
    question="?",
    platform="mocker",
    topology=Topology(engine="mocker", model="m", worker=Role(count=2, args=("--speedup-ratio", "0.8")), block_size=32),
    traffic=Traffic(isl=64, osl=16, concurrency=2),
    expectation=Expectation(gates=()),
    overrides=("traffic.isl=64", "topology.worker.args=--speedup-ratio 0.8"),
)


def _baseline(**provenance: str) -> Baseline:
    return Baseline(
        suite="suite",
        case_id="c2",
        session_id="abcd",
        stamp="20260101T000000Z",
        environment_name="mocker-x",
        key={},
        provenance={"launcher": "process", **provenance},
        units={},
        runs=(),
    )


def _control(*texts: str, endpoint_url: str | None = None) -> Control:
    control = parse_control(texts, endpoint_url=endpoint_url)
    assert control is not None
    return control


def test_without_a_text_there_is_no_control() -> None:
    assert parse_control(()) is None


def test_texts_add_up() -> None:
    control = _control("baseline", f"python={sys.executable}", "set=topology.block_size=64", "set=topology.worker.args=--a 1")
    assert control.baseline
    assert control.python == Path(sys.executable)
    assert [override.option for override in control.overrides] == ["topology.block_size=64", "topology.worker.args=--a 1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["baseline", "python=PATH"]),
        ("basline", ["basline", "did you mean 'baseline'"]),
        ("baseline=yes", ["is none of"]),
        ("python=", ["python=PATH"]),
        ("python=/nowhere/at/all", ["/nowhere/at/all", "interpreter"]),
        ("set=topology.wrker.args=--x", ["topology.wrker.args", "--dynperf-control=set="]),
        ("set=topology.block_size=many", ["many", "topology.block_size", "--dynperf-control=set="]),
        ("set=topology.block_size", ["KEY=VALUE"]),
        ("set=traffic.isl=512", ["traffic.isl", "same load", "--dynperf-set"]),
        ("set=expect.max_error_share=0.5", ["same load"]),
        ("endpoint=localhost:8000", ["http://"]),
        ("image=", ["image=NAME"]),
    ],
)
def test_a_text_without_meaning_is_named(text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_control([text])
    assert all(word in str(caught.value) for word in words), caught.value


def test_what_does_not_go_together() -> None:
    for texts, url, words in (
        (("endpoint=http://a:1", "baseline"), None, "not ours to change"),
        (("endpoint=http://a:1", "endpoint=http://b:1"), None, "given before"),
        (("set=topology.block_size=1",), "http://a:1", "endpoint=URL"),
        (("baseline",), "http://a:1", "endpoint=URL"),
        (("endpoint=http://a:1",), "http://a:1", "the candidate itself"),
        ((f"python={sys.executable}", "image=x"), None, "what runs in a container is in the image"),
        (("image=x", "image=y"), None, "given before"),
        (("image=x",), "http://a:1", "endpoint=URL"),
    ):
        with pytest.raises(UsageError, match=words):
            parse_control(texts, endpoint_url=url)


@given(st.text(max_size=40))
def test_whatever_the_text_the_error_is_ours(text: str) -> None:
    try:
        control = parse_control([text])
    except UsageError as error:
        said = str(error)
    else:
        said = "--dynperf-control" if control is not None else "nothing"
    assert "--dynperf-control" in said


def test_an_image_replaces_the_one_that_the_candidate_runs() -> None:
    arm = control_of(_control("image=dynamo@sha256:00"), CASE, None)
    assert arm.case.topology == replace(CASE.topology, image="dynamo@sha256:00")
    assert "dynamo@sha256:00" in arm.words
    assert arm.launcher is None


@pytest.mark.parametrize(
    ("recorded", "started"), [("dynamo@sha256:00", "dynamo@sha256:00"), ("test/dynamo:1 (local sha256:12)", "sha256:12")]
)
def test_the_baselines_image_is_started_by_its_digest_or_id(recorded: str, started: str) -> None:
    facts = {"launcher": "container", "image.frontend": recorded, "image.etcd": recorded, "worker.args": "--a 1", "block_size": "64"}
    arm = control_of(_control("baseline"), CASE, replace(_baseline(), provenance=facts))
    assert (arm.case.topology.image, arm.case.topology.images.etcd, arm.launcher) == (started, started, "container")
    assert arm.case.topology.images.nats == CASE.topology.images.nats
    assert arm.case.topology.worker.args == ("--a", "1")


def test_an_environment_directory_stands_for_its_interpreter_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "python3"
    link.symlink_to(sys.executable)
    assert interpreter(tmp_path, where="here") == link
    with pytest.raises(UsageError, match=r"here: .*neither"):
        interpreter(tmp_path / "bin", where="here")


def test_overrides_come_after_the_candidates_and_the_last_flag_wins() -> None:
    arm = control_of(_control("set=topology.worker.args=--speedup-ratio 1.0", "set=topology.block_size=16"), CASE, None)
    assert arm.case.topology.worker == Role(count=2, args=("--speedup-ratio", "0.8", "--speedup-ratio", "1.0"))
    assert arm.case.topology.block_size == 16
    assert arm.case.traffic == CASE.traffic
    assert arm.case.overrides == (*CASE.overrides, "topology.worker.args=--speedup-ratio 1.0", "topology.block_size=16")
    assert "topology.block_size=16" in arm.words


def test_keys_within_a_table_of_the_topology_change_it_and_nothing_beside_it() -> None:
    control = parse_control(["set=topology.router.temperature=0.5", "set=topology.kv_cache.prefix_caching=false"])
    assert control is not None

    topology = control_of(control, CASE, None).case.topology

    assert topology == replace(CASE.topology, router=Router(temperature=0.5), kv_cache=KvCache(prefix_caching=False))


def test_the_baseline_gives_back_what_was_deployed_without_the_candidates_overrides() -> None:
    newest = _baseline(
        **{"worker.args": "--speedup-ratio 1.0 --note 'two words'", "router.args": "--x", "block_size": "default", "ai-dynamo.version": "1"}
    )
    arm = control_of(_control("baseline"), CASE, newest)
    assert arm.case.topology.worker.args == ("--speedup-ratio", "1.0", "--note", "two words")
    assert arm.case.topology.router_args == ("--x",)
    assert arm.case.topology.block_size is None
    assert arm.case.topology.worker.count == 2
    assert arm.case.overrides == ("traffic.isl=64",)
    assert arm.versions == {"ai-dynamo.version": "1"}
    assert "20260101T000000Z" in arm.words
    bare = control_of(_control("baseline", "set=topology.block_size=8"), CASE, _baseline(block_size="64"))
    assert bare.case.topology.worker.args == ()
    assert bare.case.topology.block_size == 8, "a set= comes after what the baseline recorded"


@pytest.mark.parametrize("newest", [None, replace(_baseline(), provenance={"launcher": "attached"}), replace(_baseline(), provenance={})])
def test_a_baseline_that_nothing_can_be_deployed_from_is_refused(newest: Baseline | None) -> None:
    with pytest.raises(DeploymentError, match="--dynperf-control=baseline"):
        control_of(_control("baseline"), CASE, newest)


def test_an_endpoint_keeps_the_case() -> None:
    arm = control_of(_control("endpoint=http://a:1", endpoint_url="http://b:1"), CASE, None)
    assert arm.case == CASE
    assert arm.endpoint_url == "http://a:1"


@given(st.lists(st.text(min_size=1, max_size=8), max_size=5))
def test_arguments_survive_the_provenance(arguments: list[str]) -> None:
    import shlex

    assert arguments_of(shlex.join(arguments)) == tuple(arguments)


def test_arguments_that_no_shell_would_take_are_split_at_spaces() -> None:
    assert arguments_of("--say don't --n 1") == ("--say", "don't", "--n", "1")


def test_another_version_is_never_taken_for_the_baselines() -> None:
    installed = {"ai-dynamo.version": "1.4.2", "etcd.version": "3.5.1"}
    assert missing_versions(installed, installed) is None
    assert missing_versions({"etcd.version": "unknown"}, installed) is None
    other = missing_versions({"ai-dynamo.version": "1.3.0", "etcd.version": "3.5.1"}, installed)
    assert other is not None
    assert "ai-dynamo 1.3.0 (here 1.4.2)" in other
    assert "etcd" not in other
    assert "python=PATH" in other
    absent = missing_versions({"nats.version": "2"}, installed)
    assert absent is not None
    assert "not installed" in absent


def test_what_binds_keeps_arms_apart_and_what_explains_does_not() -> None:
    key = {"cpu.count": "2", "topology.shape": "agg"}
    assert not_comparable(key, dict(key)) is None
    text = not_comparable(key, {**key, "cpu.count": "4"})
    assert text is not None
    assert "cpu.count is '2', of the control '4'" in text
    assert "not known" in (not_comparable(key, {"cpu.count": "2"}) or "")
    assert differing({"a": "1", "dynperf.set": "x"}, {"a": "1"}) == ()
    assert differing({"a": "1"}, {"a": "2"}) == ("a",)


@pytest.mark.parametrize(("per_worker", "gpus", "fits"), [(0, 0, True), (1, 3, False), (1, 4, True), (4, 8, False)])
def test_two_arms_fit_where_the_host_has_gpus_for_both(per_worker: int, gpus: int, fits: bool) -> None:
    topology = Topology(engine="vllm", model="m", worker=Role(count=2, gpus=per_worker))
    assert fits_side_by_side(topology, gpus) is fits


def test_arms_of_different_size() -> None:
    one, three = (Topology(engine="vllm", model="m", worker=Role(count=count, gpus=1)) for count in (1, 3))
    assert fits_side_by_side(one, 4, three)
    assert not fits_side_by_side(three, 5, three)
