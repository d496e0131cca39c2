"""FACTS: what was seen, uninterpreted.

In: nothing. Out: request records and recordings, and the files from which they can be read again. Must not import anything above
``quantity``; opens no socket and starts no process.
"""
