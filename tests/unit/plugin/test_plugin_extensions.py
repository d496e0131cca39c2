"""What plugins answer becomes values, or an error that names the plugin, the hook and what was expected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pluggy
import pytest

from pytest_dynperf import hookspecs
from pytest_dynperf.deployment.extension_engine import Engine, Launch
from pytest_dynperf.environment import Facts
from pytest_dynperf.errors import UsageError
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.plugin.extensions import collect_extensions, fetch_baselines, keep_baselines, tell_judged, with_sections
from pytest_dynperf.report.section import Section
from pytest_dynperf.session.extensions import NONE, Extensions, added_facts
from tests.fakes.session_reports import a_case, a_report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BASELINES = Path("/somewhere/baselines")
TTFT = CATALOGUE["time_to_first_token.v1"]
RATE = CATALOGUE["request_error_rate.v1"]


def config_with(**plugins: dict[str, Callable[..., object]]) -> Any:
    """A config whose plugins have the given hooks, without ``pytest_dynperf_``."""
    manager = pluggy.PluginManager("pytest")
    manager.add_hookspecs(hookspecs)
    for name, hooks in plugins.items():
        plugin = ModuleType(name)
        vars(plugin).update({f"pytest_dynperf_{hook}": pytest.hookimpl(function) for hook, function in hooks.items()})
        manager.register(plugin, name)
    return SimpleNamespace(pluginmanager=manager)


def collected(**plugins: dict[str, Callable[..., object]]) -> Extensions:
    return collect_extensions(config_with(**plugins), baselines=BASELINES)


def test_without_plugins_there_is_nothing() -> None:
    found = collected()
    assert (found.launchers, found.engines, found.workloads, found.metrics, found.watches, found.store) == ({}, {}, {}, {}, {}, None)
    assert found.known == NONE.known


def test_what_several_plugins_give_is_together() -> None:
    engine = Engine(command=lambda call: Launch(argv=("toy",)))
    mine = replace(TTFT, id="mine.v1")
    found = collected(
        one={"engines": lambda: {"toy": engine}, "metrics": lambda: None},
        two={"engines": lambda: {"other": engine}, "metrics": lambda: [mine], "workloads": lambda: {"questions": iter}},
    )
    assert dict(found.engines) == {"toy": engine, "other": engine}
    assert set(found.known.more("topology.engine")) == {"toy", "other"}
    assert found.known.more("traffic.workload.kind") == ("questions",)
    assert found.known.metrics["mine.v1"] is mine
    assert found.meanings == {"mine.v1": mine.meaning}


BAD = [
    ("launchers", ["slurm"], "gave ['slurm'], expected is a dictionary of names (such as 'my-launcher') to a function of a LaunchCall"),
    ("launchers", {"process": print}, "gave 'process', expected is a name that is free: pytest-dynperf has 'process'"),
    ("engines", {"toy": "toy --port 1"}, "gave 'toy --port 1', expected is an Engine as 'toy'"),
    ("engines", {"My Engine": None}, "gave 'My Engine', expected is a dictionary of names"),
    ("workloads", {"synthetic": print}, "pytest-dynperf has 'synthetic'"),
    ("workloads", {"mine": None}, "gave None, expected is a function of a WorkloadCall as 'mine'"),
    ("telemetry", {"power": 3}, "gave 3, expected is a function of an Endpoint as 'power'"),
    ("metrics", {"a.v1": 1}, "gave {'a.v1': 1}, expected is a sequence of MetricDefinition"),
    ("metrics", [1], "gave 1, expected is a sequence of MetricDefinition"),
    ("metrics", [TTFT], "gave 'time_to_first_token.v1', expected is an id that no other metric has"),
    ("metrics", [replace(TTFT, id="mine")], "gave 'mine', expected is an id of small letters, digits and '_', with a version"),
    ("metrics", [replace(TTFT, id="mine.v1", samples=None)], "expected is either samples (one value per request) or value"),
    ("metrics", [replace(RATE, id="mine.v1", kind=Kind.MAGNITUDE)], "expected is parts (numerator and denominator) of a Kind.RATE"),
    ("metrics", [replace(TTFT, id="mine.v1", unit="s")], "expected is a Unit, a Direction and a Kind"),  # type: ignore[arg-type]
    ("metrics", [replace(TTFT, id="mine.v1", prior_sd=0)], "expected is a prior_sd above 0"),
    ("metrics", [replace(TTFT, id="mine.v1", formula=" ")], "expected is a formula and a source, in words"),
]


@pytest.mark.parametrize(("hook", "answer", "said"), BAD, ids=[f"{hook}-{index}" for index, (hook, _, _) in enumerate(BAD)])
def test_an_answer_that_cannot_be_used_names_plugin_hook_and_what_was_expected(hook: str, answer: object, said: str) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        collected(good={hook: lambda: None}, theirs={hook: lambda: answer})
    assert str(caught.value).startswith(f"the plugin 'theirs': pytest_dynperf_{hook} gave ")
    assert said in str(caught.value)


def test_two_plugins_with_one_name_are_told_apart() -> None:
    with pytest.raises(pytest.UsageError, match=r"gave 'slurm', expected is a name that is free: (one|two) has 'slurm'"):
        collected(one={"launchers": lambda: {"slurm": print}}, two={"launchers": lambda: {"slurm": print}})


def test_an_exception_in_a_hook_names_it() -> None:
    def broken() -> None:
        raise KeyError("lost")

    with pytest.raises(pytest.UsageError, match="the plugin 'theirs': pytest_dynperf_metrics raised KeyError: 'lost'"):
        collected(theirs={"metrics": broken})


# ---- the environment


def test_facts_are_added_and_bind_where_they_say_so() -> None:
    case = a_case()
    found = collected(
        one={"environment": lambda case, endpoint: Facts(key={"rack": endpoint}, provenance={"who": case.suite})},
        two={"environment": lambda: None},
    )
    key, provenance = added_facts(found, case, "b7", key={"model": "m"}, provenance={})  # type: ignore[arg-type]
    assert key == {"model": "m", "rack": "b7"}
    assert provenance == {"who": case.suite}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"rack": "b7"}, "the plugin 'theirs': pytest_dynperf_environment gave {'rack': 'b7'}, expected is Facts with texts, or None"),
        (Facts(key={"racks": 3}), "expected is Facts with texts"),  # type: ignore[dict-item]
        (Facts(key={"model": "mine"}), "an extension tells 'model' of the environment, which is told already ('m')"),
    ],
    ids=["no facts", "a number", "told already"],
)
def test_facts_that_cannot_be_used(answer: object, said: str) -> None:
    found = collected(theirs={"environment": lambda: answer})
    with pytest.raises(UsageError) as caught:
        added_facts(found, a_case(), "b7", key={"model": "m"}, provenance={})  # type: ignore[arg-type]
    assert said in str(caught.value)


# ---- the end of a session


def test_sections_of_all_plugins_are_on_the_report() -> None:
    sections = [Section(title="Owners", columns=("case",), rows=(("a",),)), Section(title="Costs")]
    config = config_with(one={"report_sections": lambda report: [sections[0]]}, two={"report_sections": lambda: (sections[1],)})
    report, trouble = with_sections(config, a_report())
    assert trouble == []
    assert sorted(section.title for section in report.sections) == ["Costs", "Owners"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Section(title="a"), "expected is a sequence of Section"),
        (["text"], "gave 'text', expected is a sequence of Section"),
        ([Section(title=" ")], "a section has no title"),
        ([Section(title="a", columns=("b",), rows=(("c", "d"),))], "has 1 columns, and a row of 2 texts"),
        ([Section(title="a", paragraphs=(3,))], "holds something that is no text"),  # type: ignore[arg-type]
    ],
    ids=["one", "text", "no title", "uneven", "a number"],
)
def test_a_section_that_cannot_be_shown_leaves_the_page_without(answer: object, said: str) -> None:
    report, [trouble] = with_sections(config_with(theirs={"report_sections": lambda: answer}), a_report())
    assert report.sections == ()
    assert "the plugin 'theirs': pytest_dynperf_report_sections gave " in trouble
    assert said in trouble


def test_everybody_is_told_whatever_one_of_them_raises(tmp_path: Path) -> None:
    heard = []

    def down(report: object, directory: object) -> None:
        raise ConnectionError("dashboard")

    config = config_with(one={"judged": down}, two={"judged": lambda report, directory: heard.append(directory)}, three={"judged": down})
    trouble = tell_judged(config, a_report(), SimpleNamespace(run_directory=tmp_path))  # type: ignore[arg-type]
    assert heard == [tmp_path]
    assert sorted(trouble) == [f"the plugin {name!r}: pytest_dynperf_judged raised ConnectionError: dashboard" for name in ("one", "three")]


# ---- a store of baselines


class Bucket:
    def __init__(self, failure: str = "") -> None:
        self.failure = failure
        self.kept: tuple[Path, ...] = ()

    def fetch(self, directory: Path) -> None:
        if self.failure:
            raise ConnectionError(self.failure)
        directory.mkdir()

    def keep(self, directory: Path, documents: Sequence[Path]) -> None:
        if self.failure:
            raise ConnectionError(self.failure)
        self.kept = tuple(documents)


def test_the_first_store_counts_and_is_told_where(tmp_path: Path) -> None:
    bucket, told = Bucket(), []

    def store(directory: Path) -> Bucket:
        told.append(directory)
        return bucket

    assert collected(one={"baseline_store": store}).store is bucket
    assert told == [BASELINES]
    with pytest.raises(pytest.UsageError, match="gave 's3', expected is an object with fetch"):
        collected(theirs={"baseline_store": lambda: "s3"})


def settings(directory: Path, store: object, update: str = "write") -> Any:
    return SimpleNamespace(extensions=SimpleNamespace(store=store), baselines=directory, update=update)


def test_a_store_fetches_before_and_keeps_after(tmp_path: Path) -> None:
    bucket, asked = Bucket(), tmp_path / "baselines"
    fetch_baselines(settings(asked, bucket))
    assert asked.is_dir()
    accepted = replace(a_report(), accepted=("a.json",))
    assert keep_baselines(accepted, settings(asked, bucket, "dry-run")) == []
    assert not bucket.kept
    assert keep_baselines(accepted, settings(asked, bucket)) == []
    assert [*bucket.kept] == [Path("a.json")]


def test_a_store_that_is_away_ends_the_session_or_makes_it_red(tmp_path: Path) -> None:
    away = settings(tmp_path, Bucket("no route"))
    with pytest.raises(pytest.UsageError, match=r"the store Bucket of baselines could not fetch them into .*: ConnectionError: no route"):
        fetch_baselines(away)
    [trouble] = keep_baselines(replace(a_report(), accepted=("a.json",)), away)
    assert "did not keep what was accepted: ConnectionError: no route; 1 accepted baselines lie in" in trouble
