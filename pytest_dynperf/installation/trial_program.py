"""Asks the engine of the environment that it runs in some questions about the tiny model's facts: ``python … MODEL``. Needs vLLM there.

Without a server: engine, kernels, weights, tokenizer and KV cache are those that a server uses. Exit code 3 where the answers are wrong.
"""

from __future__ import annotations

import sys

from pytest_dynperf.installation.tiny_model_sequences import ASSISTANT, BEGIN, END, USER
from pytest_dynperf.workload import fact_table

ASKED, LEAST = 8, 6
"""Questions, and right answers that are wanted: the model knows 98 %, guessing gets two."""

WRONG = 3


def main(arguments: list[str]) -> int:
    """Prints one line in the end."""
    from vllm import LLM, SamplingParams

    table = fact_table.table(fact_table.SEED, fact_table.TABLE_FACTS)
    questions = fact_table.questions(table, fact_table.SEED)[:ASKED]
    prompts = [f"{BEGIN}{USER}{fact_table.prompt(table, question)}{END}{ASSISTANT}" for question in questions]
    engine = LLM(
        model=arguments[0],
        max_model_len=2048,
        dtype="float32",
        enforce_eager=True,
        distributed_executor_backend="uni",
        kv_cache_memory_bytes=64 * 1024 * 1024,
    )
    answers = [done.outputs[0].text.strip() for done in engine.generate(prompts, SamplingParams(temperature=0.0, max_tokens=3))]
    right = sum(answer == question.letter for answer, question in zip(answers, questions, strict=True))
    print(f"answered {right} of {ASKED} questions rightly: {' '.join(answers)}", flush=True)  # noqa: T201 -- its output is its result
    return 0 if right >= LEAST else WRONG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
