"""REQUESTS: what is asked, as a seeded stream.

In: a case's traffic, a tokenizer, a seed. Out: an iterator of Request. Reads data files; imports scenario and below.
"""
