"""What system tests share."""

from tests.fakes.installed_cpu import cpu_bench, deployed, installed
from tests.images.fixtures import engine, nothing_left, test_images

__all__ = ["cpu_bench", "deployed", "engine", "installed", "nothing_left", "test_images"]
