"""``python -m tests.images build | list | remove [--old]``: exit status 0, or 1 and a sentence."""

from __future__ import annotations

import argparse
import sys
import time

from tests.images.contents import ContentsError
from tests.images.engine import EngineMissing, Image, ImageError, build_all, connect, present
from tests.images.recipe import recipes


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.images", description="Container images for tests, made without a registry.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make what is missing, and print each image")
    commands.add_parser("list", help="print the images that the engine has, and which of them are current")
    commands.add_parser("remove", help="remove them all").add_argument("--old", action="store_true", help="only those that are not current")
    given = parser.parse_args(arguments)
    try:
        if given.command == "build":
            _build()
        elif given.command == "list":
            _list()
        else:
            _remove(only_old=given.old)
    except (EngineMissing, ContentsError, ImageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _build() -> None:
    began = time.monotonic()
    build_all(connect(), told=_print)
    print(f"after {time.monotonic() - began:.1f} s")


def _print(image: Image) -> None:
    state = "made" if image.made else "there"
    print(f"{image.reference}  {image.image_id}  {image.size_bytes / 1e6:.0f} MB  {state} in {image.took_s:.1f} s", flush=True)


def _current() -> set[str]:
    """References of the images as they would be made now; ``latest`` is one of them."""
    references = {recipe.reference for recipe in recipes().values()}
    return references | {f"{reference.partition(':')[0]}:latest" for reference in references}


def _list() -> None:
    current = _current()
    for reference, image_id in sorted(present(connect()).items()):
        print(f"{reference}  {image_id}  {'current' if reference in current else 'old'}")


def _remove(*, only_old: bool) -> None:
    client = connect()
    keep = _current() if only_old else set()
    for reference in sorted(present(client)):
        if reference not in keep:
            client.images.remove(reference)
            print(f"removed {reference}")


if __name__ == "__main__":
    sys.exit(main())
