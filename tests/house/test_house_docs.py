"""The documentation names what there is, and nothing that there is not."""

from __future__ import annotations

import argparse
import ast
import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

import pytest
from _pytest.config.argparsing import Parser

from pytest_dynperf import errors
from pytest_dynperf.command import exit_code
from pytest_dynperf.command.load_options import add_options as add_load_options
from pytest_dynperf.metrics.catalogue import CATALOGUE
from pytest_dynperf.metrics.definition import Kind
from pytest_dynperf.observation.request_record import FailureKind, RequestRecord
from pytest_dynperf.plugin import fixtures
from pytest_dynperf.plugin.options import add_options
from pytest_dynperf.plugin.performance import FRAGMENT, OUTCOME, fails
from pytest_dynperf.quantity import Direction
from pytest_dynperf.report.openmetrics import openmetrics
from pytest_dynperf.run_directory import RunDirectory
from pytest_dynperf.scenario.expectation import Expectation
from pytest_dynperf.scenario.fault import Fault
from pytest_dynperf.scenario.keys import KEYS, Key
from pytest_dynperf.scenario.toml_file import _PLATFORM_TYPES, load_scenario
from pytest_dynperf.scenario.topology import Topology
from pytest_dynperf.scenario.traffic import Traffic
from pytest_dynperf.session.ledger import ACCEPTABLE
from pytest_dynperf.verdict.noise import Comparison, compare, decision_limit, minimum_detectable, screen_limit
from pytest_dynperf.verdict.verdict import Outcome, Verdict
from tests.fakes.session_reports import a_report, a_result
from tests.house.markdown import DOCS, ROOT, anchors, broken_links, code_in, fenced, pages, prose, read, rows

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dynperf.metrics.definition import MetricDefinition


@pytest.fixture(scope="module")
def parser() -> Parser:
    """A parser that knows our options and nothing else."""
    parser = Parser(_ispytest=True)
    add_options(parser)
    return parser


def option_names(parser: Parser) -> set[str]:
    return {name for option in parser.getgroup("dynperf").options for name in option.names()}


# ---- options


def documented_options(text: str) -> dict[str, tuple[str, str]]:
    """Option → (ini key, default) of the table in options.md."""
    table = {}
    for row in (row for row in rows(text) if len(row) == 4):
        for option in re.findall(r"`(--[a-z-]+(?:=dry-run)?)", row[0]):
            table[option] = (row[1].strip("`"), row[2].strip("`"))
    return table


def test_every_option_stands_in_the_table_and_no_other(parser: Parser) -> None:
    assert set(documented_options(read("options.md"))) == option_names(parser)


def test_ini_keys_and_their_defaults_stand_beside_their_option(parser: Parser) -> None:
    table = documented_options(read("options.md"))
    with_twin = {option: ini for option, (ini, _) in table.items() if ini}
    assert set(with_twin.values()) == set(parser._inidict)
    for option, ini in with_twin.items():
        assert ini in {"dynperf_" + option.removeprefix("--dynperf-").replace("-", "_"), "dynperf_gpu"}
        default = parser._inidict[ini][2]
        assert table[option][1] == (str(default).lower() if default not in ("", []) else "")


def test_no_page_mentions_an_option_that_does_not_exist(parser: Parser) -> None:
    known = option_names(parser) | set(parser._inidict) | series_names() | {FRAGMENT, OUTCOME}
    for page in pages():
        text = page.read_text(encoding="utf-8")
        mentioned = set(
            re.findall(r"(?<![\w-])(--dynperf-[a-z-]*[a-z]|--gpu|--update-baselines|--accept-regression|dynperf_[a-z_]+)\b", text)
        )
        assert mentioned <= known, page


def series_names() -> set[str]:
    """What a session's OpenMetrics file may call its series."""
    return {line.split()[2] for line in openmetrics(a_report(a_result())).splitlines() if line.startswith("# TYPE")}


def documented_series(text: str) -> set[str]:
    """First columns of the table of OpenMetrics."""
    section = text.split("\n## OpenMetrics\n")[1].split("\n## ", maxsplit=1)[0]
    return {name for row in rows(section) for name in re.findall(r"`(dynperf_[a-z0-9_]+)`", row[0])}


def test_every_series_of_a_session_stands_on_its_page() -> None:
    page, metrics = documented_series(read("machine-readable.md")), {metric.replace(".", "_") for metric in CATALOGUE}
    of_metrics = {name for name in series_names() if any(metric in name for metric in metrics)}
    assert page <= series_names()
    assert series_names() - of_metrics <= page
    assert page & of_metrics, "one metric stands for all"


def test_exit_codes_stand_on_their_page() -> None:
    section = {title: text for title, _, text in (part.partition("\n") for part in read("exit-codes.md").split("\n## "))}
    ours = {value for name, value in vars(exit_code).items() if name.isupper()}
    assert {int(row[0]) for row in rows(section["dynperf"]) if row[0].isdigit()} == ours | {0}
    of_pytest = {(row[0], row[1].strip("`")) for row in rows(section["pytest"]) if row[0].isdigit()}
    assert {(str(int(code)), code.name) for code in pytest.ExitCode} <= of_pytest  # older pytest has fewer


def load_parser() -> argparse.ArgumentParser:
    """A parser that knows the options of `dynperf load` and nothing else."""
    parser = argparse.ArgumentParser(add_help=False)
    add_load_options(parser)
    return parser


def documented_load_options(text: str) -> set[str]:
    """First words of the tables under Options in load.md."""
    section = text.split("\n## Options\n")[1].split("\n## ", maxsplit=1)[0]
    return {option for row in rows(section) for option in re.findall(r"`(--[a-z-]+)", row[0])}


def unknown_load_options(text: str) -> set[str]:
    """Options in commands that begin with `dynperf load` which it does not have."""
    commands = re.findall(r"^(?:\$ )?dynperf load .*(?:\\\n.*)*", fenced(text), re.MULTILINE)
    return {option for command in commands for option in re.findall(r"(?<!\S)--[a-z-]+", command)} - set(
        load_parser()._option_string_actions
    )


def test_every_option_of_load_stands_on_its_page_and_no_other() -> None:
    assert documented_load_options(read("load.md")) == set(load_parser()._option_string_actions)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_with_load_have_options_that_exist(page: Path) -> None:
    assert unknown_load_options(page.read_text(encoding="utf-8")) == set()


def test_a_load_option_that_is_missing_or_made_up_is_found() -> None:
    text = read("load.md")
    line = next(line for line in text.splitlines() if line.startswith("| `--seed"))
    assert set(load_parser()._option_string_actions) - documented_load_options(text.replace(f"{line}\n", "")) == {"--seed"}
    assert unknown_load_options(text.replace("--concurrency 8", "--concurency 8")) == {"--concurency"}


def test_every_exit_code_of_a_command() -> None:
    codes = {value for name, value in vars(exit_code).items() if name.isupper()}
    assert {int(row[0]) for row in rows(read("load.md")) if row[0].isdigit()} == codes | {0}


# ---- scenario


def default_of(key: Key) -> object:
    """The default of a key: ``MISSING`` where it is required, ``None`` where it is made from other values."""
    first, *rest = key.name.split(".")
    default: object = next(
        field.default
        for field in fields({"topology": Topology, "traffic": Traffic, "expect": Expectation, "fault": Fault}[first])
        if field.name == rest[0]
    )
    return getattr(default, rest[1]) if len(rest) > 1 else default


def test_every_key_of_a_scenario_with_what_is_allowed_and_its_default() -> None:
    table = {
        row[0].strip("`"): row[1:]
        for row in rows(read("scenario.md"))
        if row[0].strip("`").split(".")[0] in {"topology", "traffic", "expect", "fault"}
    }
    assert set(table) == set(KEYS)
    for name, key in KEYS.items():
        assert table[name][0] == key.allowed
        default = default_of(key)
        if default is MISSING:
            assert table[name][1] == "required"
        elif default is None:
            assert table[name][1] not in {"", "required"}, f"{name}: say what holds when it is not set"
        else:
            written = str(default).lower() if isinstance(default, bool) else repr(list(default) if isinstance(default, tuple) else default)
            assert table[name][1] == written


def test_every_key_of_a_platform_file() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(read("scenario.md"))}
    for name, (_, allowed) in _PLATFORM_TYPES.items():
        assert table[name] == allowed


def test_the_scenario_of_the_page_is_one(tmp_path: Path) -> None:
    example = re.findall(r"```toml\n(.*?)```", read("scenario.md"), re.DOTALL)[0]
    path = tmp_path / "suite" / "scenario.toml"
    path.parent.mkdir()
    path.write_text(example)
    assert load_scenario(path).question.startswith("Does the KV router")


# ---- metrics


def test_the_catalogue() -> None:
    table = {row[0].strip("`"): row[1:] for row in rows(read("metrics.md")) if len(row) == 7}
    assert list(table) == list(CATALOGUE)
    for metric, definition in CATALOGUE.items():
        per, unit, direction, formula, source, prior = table[metric]
        assert (per == "run") == (definition.value is not None)
        assert (unit, direction, formula) == (definition.unit.value, definition.direction.value, definition.formula)
        assert (source, prior) == (definition.source, prior_of(definition))


def prior_of(definition: MetricDefinition) -> str:
    """As the last column states it."""
    return {
        Kind.MAGNITUDE: f"{definition.prior_sd * 100:g} %",
        Kind.RATE: f"{definition.prior_sd:g} log odds".removeprefix("0"),
        Kind.COUNT: "none: a count",
    }[definition.kind]


def test_what_the_shipped_suite_gates() -> None:
    gates = load_scenario(ROOT / "suites" / "concurrency_sweep" / "scenario.toml").layer.gates
    table = [row for row in rows(read("metrics.md")) if len(row) == 4 and row[0].startswith("`")]
    assert [(row[0].strip("`"), row[1].strip("`"), row[2], row[3].startswith("yes")) for row in table] == [
        (gate.cell.metric, gate.cell.statistic, f"{gate.tolerance * 100:g} %", gate.decisive) for gate in gates
    ]


# ---- outcomes, errors, fixtures, files


def test_every_outcome_in_order_with_what_it_does_to_the_test() -> None:
    table = {row[0]: row[2] for row in rows(read("decision-rule.md")) if row[0] in {outcome.text for outcome in Outcome}}
    assert list(table) == [outcome.text for outcome in sorted(Outcome)]
    for outcome in Outcome:
        said = table[outcome.text]
        verdict = Verdict(outcome=outcome, cells=(), reasons=())
        assert said.startswith("fails" if fails(verdict, strict=False) else "passes")
        assert ("--dynperf-strict" in said) == (fails(verdict, strict=True) != fails(verdict, strict=False))


def test_the_readme_says_the_same() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ours = {row[0]: row[2].replace(";", ",") for row in rows(read("decision-rule.md")) if row[0] in {outcome.text for outcome in Outcome}}
    assert {row[0]: row[2] for row in rows(readme) if row[0] in ours} == ours


def worked_example(text: str) -> tuple[str, Comparison, Comparison]:
    """The section of the page, and the two comparisons of the sessions in its table: first the candidate's, then the fresh session's."""
    section = text.split("## A worked example")[1].split("\n## ", maxsplit=1)[0]
    sessions = {row[0]: [float(value) for value in row[1].split()] for row in rows(section)}
    history = [runs for name, runs in sessions.items() if name.startswith("baseline")]
    sign, prior = Direction.LOWER_IS_BETTER.sign, CATALOGUE["inter_token_latency.v1"].prior_sd
    first, fresh = (compare(sessions[name], history, sign=sign, prior_sd=prior) for name in ("candidate", "fresh"))
    return section, first, fresh


def wrong_figures(text: str) -> list[str]:
    """Figures of the worked example that the rule does not give."""
    section, first, fresh = worked_example(text)
    tolerance = 0.03
    figures = [f"{part.delta * 100:.1f} %" for part in (first, fresh)] + [f"{part.standard_error * 100:.2f} %" for part in (first, fresh)]
    figures += [f"{screen_limit(first, tolerance) * 100:.1f} %", f"{decision_limit(fresh, tolerance) * 100:.1f} %"]
    figures += [f"{minimum_detectable(fresh, tolerance) * 100:.1f} %", f"ν = {fresh.degrees}"]
    return [figure for figure in figures if figure not in section]


def test_the_worked_example_is_what_the_rule_gives() -> None:
    assert wrong_figures(read("decision-rule.md")) == []
    _, first, fresh = worked_example(read("decision-rule.md"))
    assert first.delta > screen_limit(first, 0.03)
    assert fresh.delta > decision_limit(fresh, 0.03)


def test_a_wrong_figure_in_the_worked_example_is_found() -> None:
    text = read("decision-rule.md")
    _, first, _ = worked_example(text)
    assert wrong_figures(text.replace(f"{first.delta * 100:.1f} %", "99.9 %"))


def test_the_suite_of_the_readme_is_one(tmp_path: Path) -> None:
    path = tmp_path / "long_prompts" / "scenario.toml"
    path.parent.mkdir()
    path.write_text(re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0])
    assert load_scenario(path).suite == "long_prompts"


def test_which_outcomes_can_be_accepted() -> None:
    said = {name.strip(): row[1] for row in rows(read("baselines.md")) for name in row[0].split(",")}
    for outcome in Outcome:
        assert (said[outcome.text] == "yes") == (outcome in ACCEPTABLE)


def test_every_class_of_error() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.DynperfError)}
    ends = ("Error`", "Exited`", "Held`", "Timeout`")
    assert {row[0].strip("`") for row in rows(read("troubleshooting.md")) if row[0].endswith(ends)} == classes


def messages() -> set[str]:
    """Every text in the package's source, with … for what is put in."""
    found = set()
    for path in (ROOT / "pytest_dynperf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
    return found


def unknown_texts(page: str) -> list[str]:
    """Texts in the first column of a table, quoted as those of errors, that the source does not say."""
    said = messages()
    quoted = [code for row in rows(page) if len(row) == 2 and not row[0][0].isdigit() for code in code_in(f"{row[0]}\n")]
    assert len(quoted) > 20
    return [text for text in quoted if not any(text in message for message in said)]


def test_the_texts_of_errors_are_quoted_as_they_are() -> None:
    assert unknown_texts(read("troubleshooting.md")) == []


def test_a_text_that_nothing_says_is_found() -> None:
    assert unknown_texts(read("troubleshooting.md") + "\n| text | what |\n|---|---|\n| `the moon is full` | wait |\n") == [
        "the moon is full"
    ]


def test_every_kind_of_failure() -> None:
    assert {kind.value for kind in FailureKind} <= {row[0].strip("`") for row in rows(read("measuring.md"))}


def test_every_fixture_has_a_section() -> None:
    public = {name for name, value in vars(fixtures).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert public >= {"perf", "dynamo_endpoint"}
    text = read("fixtures.md")
    assert public == {row[0].strip("`") for row in rows(text) if len(row) == 3}
    for name in public:
        assert any(name.replace("`", "") in anchor for anchor in anchors(text)), name


def test_the_files_of_a_session(tmp_path: Path) -> None:
    text = read("files.md")
    run = RunDirectory(tmp_path)
    names = [run.session_json, run.report_html, run.proposals, run.records("s", "c", "r").parents[2], run.deployment("d").parent]
    for path in names:
        assert any(code.startswith(path.name) for code in code_in(text)), path.name


def test_every_key_of_a_record() -> None:
    in_usage = {"prompt_tokens", "completion_tokens", "cached_tokens"}
    keys = {code for row in rows(read("files.md")) for code in code_in(f"{row[0]}\n")}
    assert {field.name for field in fields(RequestRecord)} - in_usage | {"schema", "usage"} <= keys
    assert in_usage <= set(code_in(read("files.md")))


# ---- links and commands


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_on_the_map() -> None:
    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} == set(re.findall(r"\(([a-z-]+\.md)\)", read("index.md")))


def test_every_make_command_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"demo", "test"} <= set(re.findall(r"\bmake ([a-z]+)", readme))
    for page in pages():
        text = page.read_text(encoding="utf-8")
        mentioned = set(re.findall(r"^make ([a-z]+)", fenced(text), re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)", prose(text)))
        assert mentioned <= targets, page


# ---- the checks can be red


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# A heading: `code`, and more\n```\n# not a heading\n```\n")
    page.touch()
    text = "[a](other.md) [b](other.md#a-heading-code-and-more) [c](#here) [d](https://example.org/x)\n# Here\n"
    assert broken_links(page, text) == []
    defects = "[a](gone.md) [b](other.md#not-a-heading) [c](#there) [d](../nowhere/)\n# Here\n"
    assert broken_links(page, defects) == ["gone.md", "other.md#not-a-heading", "#there", "../nowhere/"]


def test_a_table_that_lacks_an_option_is_found(parser: Parser) -> None:
    text = read("options.md")
    line = next(line for line in text.splitlines() if line.startswith("| `--dynperf-seed"))
    assert set(documented_options(text.replace(f"{line}\n", ""))) == option_names(parser) - {"--dynperf-seed"}
    assert "--dynperf-sed" in documented_options(text.replace("--dynperf-seed", "--dynperf-sed"))


def test_code_is_not_prose() -> None:
    assert prose("a\n```\n| x | y |\n```\nb") == "a\n\nb"
    assert list(rows("| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n| c |\n|---|\n| 3 |\n```\n")) == [["1", "2"]]
