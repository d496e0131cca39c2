"""How true and how cheap the load generator is, against a server that logs every send: ``python -m benchmarks.instrument --help``."""
