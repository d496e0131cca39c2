"""What system tests share."""

from tests.images.fixtures import engine, nothing_left, test_images

__all__ = ["engine", "nothing_left", "test_images"]
