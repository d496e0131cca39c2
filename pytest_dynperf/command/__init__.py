"""COMMANDS: `dynperf`, the instrument without pytest. In: a command line. Out: an exit code, text on the terminal, files.

Each module has ``add_parser``, which adds its commands and sets ``run``: parsed arguments in, exit code out. Modules import nothing but the
standard library and ``errors`` at their top: ``dynperf --help`` loads all of them. Must not import ``plugin`` or pytest.
"""
