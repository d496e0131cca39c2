"""Servers that behave as told, for tests."""
