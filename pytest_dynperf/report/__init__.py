"""WORDS: a session's result as text, HTML and JSON.

May format, may not compute: every number that is shown was computed below. Imports verdict and below.
"""
