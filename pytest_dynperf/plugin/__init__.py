"""PYTEST: the only room that imports pytest.

Loaded at every pytest start on a user's machine: at module level it imports nothing but pytest and the standard library.
"""
