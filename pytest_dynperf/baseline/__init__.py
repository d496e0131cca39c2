"""MEMORY: accepted documents of a case in an environment.

In: a case id and an Environment. Out: documents, or why there are none. Reads files; writes only on acceptance.
"""
