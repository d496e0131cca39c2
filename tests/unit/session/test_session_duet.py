"""The order of a duet, what is repeated, and what ends it, with deployments that only count."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.endpoint import Endpoint
from pytest_dynperf.environment import Environment
from pytest_dynperf.errors import DeploymentError
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.topology import Role
from pytest_dynperf.session.control import ControlArm
from pytest_dynperf.session.deployments import Deployments
from pytest_dynperf.session.duet import OpenDuet, PairRun, close, measure_pairs
from pytest_dynperf.session.layout import SIDE_BY_SIDE, cost_of, layout_of
from pytest_dynperf.session.plan import Settings
from pytest_dynperf.verdict.duet import BLOCKS
from tests.fakes.session_reports import ITL, TTFT, a_case, a_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dynperf.deployment.launcher import Service
    from pytest_dynperf.deployment.running import Deployment
    from pytest_dynperf.measurement.measurement import Run
    from pytest_dynperf.scenario.case import Case
    from pytest_dynperf.scenario.topology import Topology

CASE = a_case()
CONTROL = ControlArm(
    case=replace(CASE, topology=replace(CASE.topology, worker=Role(count=2, args=("--speedup-ratio", "2")))), words="twice as fast"
)


@dataclass
class Standing:
    """A deployment that runs until it is stopped; ``gone`` is what ``incident`` says."""

    name: str
    endpoint: Endpoint
    key: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    gone: str | None = None
    stopped: bool = False
    services: Mapping[str, Service] = field(default_factory=dict)

    def incident(self) -> str | None:
        assert not self.stopped, f"{self.name} was asked after its end"
        return self.gone

    def witness(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        self.stopped = True


class Counting(Deployments):
    """Starts nothing: each deployment is a name with a number."""

    def __init__(self, tmp_path: Path, *, cpus: str = "2", broken: str | None = None) -> None:
        settings = Settings(
            session_id="s",
            stamp="20260101T000000Z",
            seed=1,
            command="pytest",
            rootdir=tmp_path,
            baselines=tmp_path / "baselines",
            run_directory=tmp_path / "run",
            cache_directory=tmp_path / "cache",
        )
        super().__init__(settings, RunDirectory(tmp_path / "run"), lambda _text: None)
        self.started: list[Standing] = []
        self.cpus, self.broken = cpus, broken

    def _start(self, topology: Topology) -> Deployment:
        return self._standing("candidate", {"cpu.count": "2"}, {"worker.args": " ".join(topology.worker.args)})

    def _start_control(self, control: ControlArm) -> Deployment:
        if self.broken is not None:
            raise DeploymentError(self.broken)
        return self._standing("control", {"cpu.count": self.cpus}, {"worker.args": " ".join(control.case.topology.worker.args)})

    def _standing(self, arm: str, key: Mapping[str, str], provenance: Mapping[str, str]) -> Standing:
        number = 1 + sum(one.name.startswith(arm) for one in self.started)
        one = Standing(f"{arm}-{number}", Endpoint(base_url=f"http://{arm}:{number}", model="m"), key, provenance)
        self.started.append(one)
        return one


@dataclass
class Bench:
    """A duet, and what was run on what in which order; ``bad`` names runs that come out invalid."""

    duet: OpenDuet
    deployments: Counting
    seen: list[tuple[str, PairRun]] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    killed_at: str | None = None

    def run(self, case: Case, deployment: Deployment, pair: PairRun) -> Run:
        assert isinstance(deployment, Standing)
        assert not deployment.stopped
        assert case is (CASE if deployment.name.startswith("candidate") else self.duet.control.case)
        self.seen.append((deployment.name, pair))
        if pair.name == self.killed_at:
            deployment.gone = "service worker-0 was killed by SIGKILL"
        bad = pair.name in self.bad
        return a_run(pair.name, {} if bad else {ITL: 0.006, TTFT: 0.02}, problems=("too few requests",) if bad else ())


def _bench(tmp_path: Path, layout: str = SIDE_BY_SIDE, *, control: ControlArm = CONTROL, **deployments: str) -> Bench:
    counting = Counting(tmp_path, **deployments)

    def environment(case: Case, deployment: Deployment) -> Environment:
        return Environment(platform=case.platform, key=deployment.key, provenance=deployment.provenance)

    duet = OpenDuet(
        case=CASE,
        control=control,
        layout=layout,
        seed=7,
        deployments=counting,
        run=lambda case, deployment, pair: bench.run(case, deployment, pair),  # noqa: PLW0108 - bench is made below
        may_begin=lambda *_: True,
        environment_of=environment,
    )
    bench = Bench(duet, counting)
    return bench


def test_side_by_side_both_run_throughout_and_share_their_prompts(tmp_path: Path) -> None:
    bench = _bench(tmp_path)
    measure_pairs(bench.duet, 5)
    measure_pairs(bench.duet, 10)
    assert [one.name for one in bench.deployments.started] == ["candidate-1", "control-1"]
    duet = bench.duet.so_far()
    assert (len(duet.pairs), duet.problems, duet.layout) == (10, (), "side by side")
    assert [pair.candidate.name for pair in duet.pairs] == [f"pair-{number:02d}-candidate" for number in range(1, 11)]
    prompts = [pair.prompts for _, pair in bench.seen]
    assert prompts == [f"pair-{number:02d}" for number in range(1, 11) for _ in range(2)]
    assert {pair.source.base_url for _, pair in bench.seen if pair.source} == {"http://candidate:1"}
    first = [arm.startswith("candidate") for arm, _ in bench.seen[::2]]
    assert first == [pair.candidate_first for pair in duet.pairs]
    assert set(first) == {True, False}, "the order is drawn"
    assert duet.control_provenance == {"worker.args": "--speedup-ratio 2"}
    assert {pair.what for _, pair in bench.seen[:2]} == {"pair 1/5 candidate", "pair 1/5 control"}
    assert [pair.done for _, pair in bench.seen[:10]] == list(range(10))
    close(bench.duet)
    assert [one.stopped for one in bench.deployments.started] == [False, True], "the candidate may serve the next case"


def test_the_order_follows_from_the_seed_alone(tmp_path: Path) -> None:
    orders = []
    for seed in (7, 7, 8):
        bench = _bench(tmp_path)
        bench.duet.seed = seed
        measure_pairs(bench.duet, 20)
        orders.append([pair.candidate_first for pair in bench.duet.pairs])
    assert orders[0] == orders[1] != orders[2]


def test_blocks_share_a_deployment_by_five_and_never_run_at_once(tmp_path: Path) -> None:
    bench = _bench(tmp_path, BLOCKS)
    measure_pairs(bench.duet, 5)
    arms = [arm for arm, _ in bench.seen]
    assert arms == [*["candidate-1"] * 5, *["control-1"] * 5, *["control-2"] * 5, *["candidate-2"] * 5]
    assert [pair.number for _, pair in bench.seen] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 6, 7, 8, 9, 10]
    duet = bench.duet.so_far()
    assert len(duet.pairs) == 10, "a cycle is ten pairs, whatever the next look needs"
    assert [pair.candidate_first for pair in duet.pairs] == [True, False] * 5, "a drift cancels at every look"
    assert all(pair.candidate.name[:7] == pair.control.name[:7] for pair in duet.pairs)
    assert [one.stopped for one in bench.deployments.started] == [True, True, True, False]
    measure_pairs(bench.duet, 20)
    assert len(bench.duet.pairs) == 20
    assert [one.name for one in bench.deployments.started[4:]] == ["candidate-3", "control-3", "control-4", "candidate-4"]


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLOCKS])
def test_no_run_of_a_pair_finds_what_an_earlier_one_has_asked(tmp_path: Path, layout: str) -> None:
    """Every pair asks the same questions, and nothing empties a cache: each run has a deployment that was asked nothing."""
    bench = _bench(tmp_path, layout)
    bench.bad = {"pair-03-control"}
    asked: list[tuple[str, str, int]] = []

    def may_begin(case: Case, deployment: Deployment, prompts: str, number: int) -> bool:
        assert isinstance(deployment, Standing)
        assert case is (CASE if deployment.name.startswith("candidate") else CONTROL.case)
        asked.append((deployment.name, prompts, number))
        return all(name != deployment.name for name, _ in bench.seen)

    bench.duet.may_begin = may_begin
    measure_pairs(bench.duet, 5)
    assert bench.duet.so_far().problems == ()
    served = [name for name, _ in bench.seen]
    assert len(set(served)) == len(served) == (12 if layout == SIDE_BY_SIDE else 21)
    assert {(prompts, number) for _, prompts, number in asked} == {(pair.prompts, pair.number) for _, pair in bench.seen}
    assert sum(not one.stopped for one in bench.deployments.started) <= 2


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLOCKS])
def test_an_invalid_pair_is_repeated_once_with_other_prompts(tmp_path: Path, layout: str) -> None:
    bench = _bench(tmp_path, layout)
    bench.bad = {"pair-03-control"}
    measure_pairs(bench.duet, 5)
    duet = bench.duet.so_far()
    assert duet.problems == ()
    (discarded,) = duet.discarded
    assert discarded.problems == ("control: too few requests",)
    assert any(pair.control.name == "pair-03-control-repeated" for pair in duet.pairs)
    assert not any(pair.problems for pair in duet.pairs)
    assert [pair.prompts for _, pair in bench.seen].count("pair-03-repeated") == (2 if layout == SIDE_BY_SIDE else 1)


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLOCKS])
def test_a_second_invalid_one_ends_the_duet_and_both_deployments(tmp_path: Path, layout: str) -> None:
    bench = _bench(tmp_path, layout)
    bench.bad = {"pair-02-control", "pair-02-control-repeated"}
    measure_pairs(bench.duet, 5)
    close(bench.duet)
    problems = bench.duet.so_far().problems
    assert len(problems) == 2
    assert all("pair 2" in text and "control: too few requests" in text for text in problems), problems
    assert all(one.stopped for one in bench.deployments.started)


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLOCKS])
@pytest.mark.parametrize("arm", ["candidate", "control"])
def test_a_service_that_goes_away_ends_the_duet_at_once(tmp_path: Path, layout: str, arm: str) -> None:
    bench = _bench(tmp_path, layout)
    bench.killed_at = f"pair-02-{arm}"
    measure_pairs(bench.duet, 5)
    close(bench.duet)
    assert bench.duet.so_far().problems == (f"{arm}: service worker-0 was killed by SIGKILL",)
    assert bench.seen[-1][1].name == f"pair-02-{arm}"
    assert all(one.stopped for one in bench.deployments.started)


@pytest.mark.parametrize("layout", [SIDE_BY_SIDE, BLOCKS])
def test_arms_of_different_environments_are_no_duet(tmp_path: Path, layout: str) -> None:
    bench = _bench(tmp_path, layout, cpus="4")
    with pytest.raises(DeploymentError, match=r"not comparable: cpu\.count is '2', of the control '4'"):
        measure_pairs(bench.duet, 5)
    close(bench.duet)
    assert bench.duet.pairs == []
    assert bench.deployments.started[-1].stopped


def test_a_control_of_another_shape_is_no_duet(tmp_path: Path) -> None:
    other = replace(CONTROL, case=replace(CONTROL.case, topology=replace(CONTROL.case.topology, router_mode="kv")))
    with pytest.raises(DeploymentError, match=r"topology\.shape"):
        measure_pairs(_bench(tmp_path, control=other).duet, 5)


def test_a_control_that_does_not_start_is_tried_once_a_session(tmp_path: Path) -> None:
    for _ in range(2):
        bench = _bench(tmp_path, broken="no such version")
        for _ in range(2):
            with pytest.raises(DeploymentError, match="no such version"):
                measure_pairs(bench.duet, 5)
            bench.deployments.broken = "was tried again"


def test_an_endpoint_vouches_for_what_it_does_not_tell(tmp_path: Path) -> None:
    bench = _bench(tmp_path, control=ControlArm(case=CASE, words="the server", endpoint_url="http://c:1"))
    bench.deployments.cpus = "2"
    measure_pairs(bench.duet, 1)
    assert len(bench.duet.pairs) == 1


def test_what_is_the_same_in_everything_recorded_is_said(tmp_path: Path) -> None:
    bench = _bench(tmp_path, control=ControlArm(case=replace(CASE), words="the same case"))
    measure_pairs(bench.duet, 1)
    assert bench.duet.nothing_differs
    assert "nothing that was recorded differs" in bench.duet.so_far().control
    differs = _bench(tmp_path)
    measure_pairs(differs.duet, 1)
    assert "nothing that was recorded" not in differs.duet.so_far().control


def test_the_layout_follows_from_the_gpus(tmp_path: Path) -> None:
    gpu = replace(CASE.topology, worker=Role(count=2, gpus=1))
    arm = replace(CONTROL, case=replace(CASE, topology=gpu))
    assert layout_of("auto", CASE.topology, CONTROL, gpus=0) == SIDE_BY_SIDE
    assert layout_of("blocks", CASE.topology, CONTROL, gpus=0) == BLOCKS
    assert layout_of("auto", gpu, arm, gpus=4) == SIDE_BY_SIDE
    assert layout_of("auto", gpu, arm, gpus=3) == BLOCKS
    with pytest.raises(DeploymentError, match="needs 4 GPUs for both arms, found 3"):
        layout_of("side-by-side", gpu, arm, gpus=3)


@pytest.mark.parametrize(
    ("layout", "pairs", "cost"), [(SIDE_BY_SIDE, 5, (10, 2)), (BLOCKS, 5, (20, 4)), (BLOCKS, 10, (20, 4)), (BLOCKS, 11, (40, 8))]
)
def test_what_pairs_cost(layout: str, pairs: int, cost: tuple[int, int]) -> None:
    assert cost_of(layout, pairs) == cost
