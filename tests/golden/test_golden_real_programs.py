"""What the programs that are installed here say to what we write for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_dynperf.deployment.nginx import configuration_text, proxy_service
from pytest_dynperf.deployment.service import Place
from tests.golden.matrix import cases
from tests.golden.read_flags import of_help

CASES = cases()
NGINX = shutil.which("nginx") or next((path for path in ("/usr/sbin/nginx",) if Path(path).is_file()), None)
HOST = "127.0.0.1"


def installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@cache
def helped(module: str) -> frozenset[str]:
    """Flags that ``python -m module --help`` prints."""
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=120, check=True)
    return frozenset(of_help(done.stdout))


@pytest.mark.parametrize("module", ["dynamo.frontend", "dynamo.mocker"])
def test_help_names_every_flag_that_we_write(module: str) -> None:
    if not installed(module):
        pytest.skip(f"missing tool: ai-dynamo is not installed for {sys.executable}")
    written = {
        word
        for name, case in CASES.items()
        if case.version.startswith("1.4.")
        for spec in case.specs
        if module in spec.argv
        for word in spec.argv
        if word.startswith("--")
    }
    assert written, "no case is written for the version that is installed"
    assert written - helped(module) == set()


def test_help_would_not_name_a_made_up_flag() -> None:
    if not installed("dynamo.frontend"):
        pytest.skip(f"missing tool: ai-dynamo is not installed for {sys.executable}")
    assert "--router-kv-overlap-score-wait" not in helped("dynamo.frontend")


def nginx_says(directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    (directory / "nginx").mkdir(parents=True)
    configuration = directory / "nginx.conf"
    configuration.write_text(text, encoding="utf-8")
    argv = [str(NGINX), "-e", "stderr", "-p", str(directory / "nginx"), "-t", "-c", str(configuration)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def place_in(directory: Path) -> Place:
    return Place(python="", model="", nginx=str(NGINX), directory=str(directory))


@pytest.mark.skipif(NGINX is None, reason="missing tool: nginx (Debian: apt-get install nginx-light)")
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    said = nginx_says(directory, configuration_text(place_in(directory), port=28000, servers=[f"{HOST}:28001", f"{HOST}:28002"]))
    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr
    assert "[emerg]" not in said.stderr


@pytest.mark.skipif(NGINX is None, reason="missing tool: nginx (Debian: apt-get install nginx-light)")
def test_nginx_refuses_a_configuration_that_is_broken(tmp_path: Path) -> None:
    text = configuration_text(place_in(tmp_path), port=28000, servers=[f"{HOST}:28001"])
    assert nginx_says(tmp_path, text.replace("least_conn;", "least_con;")).returncode != 0


def test_nginx_is_started_with_the_file_that_is_written() -> None:
    spec = proxy_service(Place(python="", model="", nginx="/usr/sbin/nginx", directory="/run"), port=1, servers=["a:1"], env={})
    assert spec.argv[-1] in spec.files
    assert "daemon off;" in spec.files[spec.argv[-1]]
