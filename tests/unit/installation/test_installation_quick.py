"""uv is told what pip's configuration says, or is not asked at all; what it fails at, pip does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dynperf.errors import InstallationError
from pytest_dynperf.installation.environment import Runner, _run
from pytest_dynperf.installation.logged_process import Account
from pytest_dynperf.installation.quick import DIRECTORY, Uv, pip_configuration, put_away, said_to_uv, uv_for
from pytest_dynperf.installation.recipe import Step

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path("/somewhere/cache")
STEP = Step(about="the thing", install=("thing==1.0",), dependencies=False, index="https://further.example/simple")


def program(path: Path, body: str) -> Path:
    """A shell script that first writes its arguments, a line, into ``<path>.asked``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$@" >> {path}.asked\n{body}\n')
    path.chmod(0o755)
    return path


def asked(path: Path) -> list[str]:
    told = path.with_name(f"{path.name}.asked")
    return told.read_text().splitlines() if told.exists() else []


def test_what_pip_says_of_itself_is_read_the_nearer_over_the_farther() -> None:
    listed = """
:env:.timeout='180'
global.extra-index-url='https://one.example/simple\\nfile:///two'
global.timeout='15'
global.index-url='https://user:secret@mirror.example/simple'
install.index-url='https://inner.example/simple'
download.index-url='https://not.for.install/simple'
"""
    assert pip_configuration(listed) == {
        "extra-index-url": "https://one.example/simple\nfile:///two",
        "timeout": "180",
        "index-url": "https://inner.example/simple",
    }
    assert pip_configuration("") == {}
    for flaw in ("nonsense", "global.index-url=unquoted", "WARNING: x=1"):
        assert pip_configuration(flaw) is None


def test_it_is_said_in_the_words_of_uv() -> None:
    configured = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://one.example/simple\nfile:///two",
        "find-links": "/wheels /more",
        "cert": "/ca.pem",
        "default-timeout": "180",
        "proxy": "http://proxy.example:8080",
        "trusted-host": "a b",
        "disable-pip-version-check": "1",
    }
    told = said_to_uv(configured, CACHE)
    assert told == {
        "UV_CACHE_DIR": "/somewhere/cache",
        "UV_NO_CONFIG": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example/simple file:///two",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_HTTP_TIMEOUT": "180",
        "HTTP_PROXY": "http://proxy.example:8080",
        "HTTPS_PROXY": "http://proxy.example:8080",
        "UV_INSECURE_HOST": "a b",
    }
    assert Uv(program="uv", variables=told).asking("https://x/")["UV_INDEX"] == "https://one.example/simple file:///two https://x/"


@pytest.mark.parametrize("key", ["constraint", "no-index", "only-binary", "client-cert", "pre"])
def test_what_has_no_word_there_is_left_to_pip(key: str) -> None:
    assert said_to_uv({"index-url": "https://mirror.example/simple", key: "1"}, CACHE) is None


def test_uv_is_the_one_of_the_path_or_fetched_or_none(tmp_path: Path) -> None:
    pip = program(tmp_path / "python", "echo \"global.index-url='https://mirror.example/simple'\"")
    uv = program(tmp_path / "bin" / "uv", "")
    found = uv_for(pip, tmp_path, {"PATH": f"{uv.parent}:/bin"}, lambda *_: pytest.fail("nothing is fetched"))
    assert found is not None
    assert (found.program, found.variables["UV_DEFAULT_INDEX"]) == (str(uv), "https://mirror.example/simple")

    def fetch(*command: str) -> int:
        program(Path(command[command.index("--target") + 1]) / "bin" / "uv", "")
        return 0

    fetched = uv_for(pip, tmp_path, {"PATH": "/bin"}, fetch)
    assert fetched is not None
    assert fetched.program == str(tmp_path / DIRECTORY / "program" / "bin" / "uv")
    put_away(tmp_path)
    assert not (tmp_path / DIRECTORY).exists()
    assert uv_for(pip, tmp_path, {"PATH": "/bin"}, lambda *_: 1) is None, "it cannot be fetched"
    for broken in ("exit 1", "echo what"):
        assert uv_for(program(tmp_path / "broken", broken), tmp_path, {"PATH": f"{uv.parent}:/bin"}, lambda *_: 0) is None


@pytest.fixture
def installing(tmp_path: Path) -> Callable[[str], tuple[Path, Path, list[str]]]:
    """The step, with a uv of that body; both programs, and what was said."""

    def run(body: str) -> tuple[Path, Path, list[str]]:
        said: list[str] = []
        (tmp_path / "log").touch()
        uv, python = program(tmp_path / "uv", body), program(tmp_path / "place" / "bin" / "python", "")
        known = Uv(program=str(uv), variables={"UV_INDEX": "https://first.example/simple"})
        _run(STEP, tmp_path / "place", Runner(account=Account(said.append), log=tmp_path / "log", keep=(), uv=known))
        return uv, python, said

    return run


def test_what_uv_does_pip_need_not(installing: Callable[[str], tuple[Path, Path, list[str]]]) -> None:
    uv, python, _ = installing("")
    assert asked(uv) == [f"pip install --no-progress --python {python} --no-deps thing==1.0"]
    assert asked(python) == []


def test_the_further_index_is_asked_where_the_others_have_it_not(installing: Callable[[str], tuple[Path, Path, list[str]]]) -> None:
    uv, python, said = installing('test "$UV_INDEX" = "https://first.example/simple https://further.example/simple"')
    assert len(asked(uv)) == 2
    assert asked(python) == []
    assert any("https://further.example/simple" in line for line in said)


def test_what_uv_cannot_pip_does(installing: Callable[[str], tuple[Path, Path, list[str]]]) -> None:
    _, python, said = installing("echo no; exit 1")
    assert [line.split(" -m ")[1] for line in asked(python)] == [
        "pip --disable-pip-version-check --no-input install --progress-bar off --no-deps thing==1.0"
    ]
    assert any("uv could not" in line for line in said)


def test_passwords_of_indexes_stand_neither_in_the_log_nor_in_the_list_of_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    uv = program(tmp_path / "uv", "exit 1")
    program(tmp_path / "place" / "bin" / "python", "exit 1")
    known = Uv(program=str(uv), variables={"UV_DEFAULT_INDEX": "https://user:secret@mirror.example/simple"})
    with pytest.raises(InstallationError, match=r"pip could not install thing==1\.0"):
        _run(STEP, tmp_path / "place", Runner(account=Account(lambda _: None), log=log, keep=(), uv=known))
    assert "thing==1.0" in log.read_text()
    assert "secret" not in log.read_text() + json.dumps(asked(uv))
