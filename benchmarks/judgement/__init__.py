"""How often the decision rule is wrong, and what it finds: ``python -m benchmarks.judgement --help``."""
