"""How often the whole program is wrong on a real stack: ``python -m benchmarks.judgement.embedded --help``."""
