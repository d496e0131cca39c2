"""Trains the tiny model, checks it, adds noise for drafts. Runs in the engine's environment (torch, transformers, tokenizers), one thread.

``python … --work DIR``: everything is written below DIR: ``checkpoint.pt`` while it learns, ``finished/`` with ``model``, a directory for
each draft (``noise-10``) and ``result.json`` at the end. Called again, it goes on from the checkpoint, and the weights come out the same:
batches follow from the number of the step, and the end of the training from steps too. ``--drafts-of MODEL`` makes the drafts alone, of a
model that is there. Exit code 3: it did not learn, or does not need its prompt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers

from pytest_dynperf.installation import tiny_model_sequences as sequences
from pytest_dynperf.installation.model_place import MARKER, NOISES, VERSION
from pytest_dynperf.installation.tiny_model_network import MARKED, add_noise, answers_right, batch_of, loss_of, make_network
from pytest_dynperf.installation.tiny_model_vocabulary import make_tokenizer, write_vocabulary
from pytest_dynperf.workload import fact_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import LlamaForCausalLM

FAILED = 3
SEED = 0
RATE, WARM_UP = 1e-3, 20
FIRST_TOKENS, TOKENS = 2000, 3000
"""Tokens of a batch at the first level, and later."""
ADVANCE = 0.85
"""Moving averages of letters and of keys at which tables grow."""
LEVEL_STEPS = 10
"""A level is worked on for so long at least."""
HOLD, DECAY = 50, 150
"""Steps at the last level with the full rate, then with a falling one."""
GIVE_UP = 2000
"""Steps after which the last level must have been reached; about 200 are usual."""
SAVE_EVERY, SAY_EVERY = 50, 10
LEAST, CHANCE = 0.98, 0.40
"""Right answers that the model must give from its table at least, and from another table at most (guessing gives 0.25)."""
CHECKED_TABLES, CHECKED_PER_BLOCK = 8, 4
OTHER_TABLE = 500
"""Added to a table's seed for another one; both are among those that are kept out of the training."""


@dataclass(slots=True)
class Progress:
    """Where the training stands; ``letter`` and ``key`` are moving averages, ``reached`` the step at which the last level was."""

    step: int = 0
    level: int = 0
    since: int = 0
    letter: float = 0.25
    key: float = 0.0
    reached: int | None = None

    @property
    def end(self) -> int | None:
        """The step after the last."""
        return None if self.reached is None else self.reached + HOLD + DECAY

    def rate(self) -> float:
        """The learning rate of the step."""
        rising = min(1.0, (self.step + 1) / WARM_UP)
        falling = 1.0 if self.end is None else min(1.0, (self.end - self.step) / DECAY)
        return RATE * rising * falling

    def learnt(self, letter: float, key: float) -> None:
        """Take in what a step at the present level showed, and advance."""
        self.letter += 0.1 * (letter - self.letter)
        self.key += 0.1 * (key - self.key)
        last = len(sequences.LEVELS) - 1
        if self.level < last and min(self.letter, self.key) > ADVANCE and self.step - self.since >= LEVEL_STEPS:
            self.level, self.since = self.level + 1, self.step
            self.letter = self.key = 0.7
            if self.level == last:
                self.reached = self.step


def train(work: Path, network: LlamaForCausalLM, writer: sequences.Writer, *, steps: int | None = None) -> Progress:
    """Train to the end, or ``steps`` steps, from the checkpoint in ``work`` where there is one.

    :raises ArithmeticError: when it does not get to the last level.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.01)
    progress = _resumed(work, network, optimizer)
    began, first = time.monotonic(), progress.step
    network.train()
    while progress.step not in {progress.end, steps}:
        if progress.reached is None and progress.step >= GIVE_UP:
            msg = f"it knows {progress.letter:.0%} of the answers to {sequences.LEVELS[progress.level]} facts after {GIVE_UP} steps"
            raise ArithmeticError(msg)
        _step(network, optimizer, writer, progress)
        if progress.step % SAVE_EVERY == 0:
            fact_table.table.cache_clear()  # no table comes twice
            _save(work, network, optimizer, progress)
        if progress.step % SAY_EVERY == 0:
            _say(progress, (time.monotonic() - began) / (progress.step - first))
    return progress


def _step(network: LlamaForCausalLM, optimizer: torch.optim.Optimizer, writer: sequences.Writer, progress: Progress) -> None:
    draw = random.Random(SEED * 1_000_000 + progress.step)
    level = draw.randrange(progress.level) if progress.level and draw.random() < 0.3 else progress.level
    size = sequences.LEVELS[level]
    facts = draw.randint(size * 3 // 4, size)
    wanted = FIRST_TOKENS if level == 0 else TOKENS
    made = [sequences.training_sequence(writer, facts, progress.step * 1000)]
    while len(made) < wanted // len(made[0].tokens):
        made.append(sequences.training_sequence(writer, facts, progress.step * 1000 + len(made)))
    loss, letter, key = loss_of(network, batch_of(made))
    for group in optimizer.param_groups:
        group["lr"] = progress.rate()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    progress.step += 1
    if level == progress.level:
        progress.learnt(letter, key)


def _say(progress: Progress, step_s: float) -> None:
    end = f" of {progress.end}" if progress.end is not None else ""
    facts = sequences.LEVELS[progress.level]
    told = f"step {progress.step}{end}: tables of {facts} facts, looked up {progress.key:.0%}, answered {progress.letter:.0%}"
    print(f"{told}, {step_s:.2f} s a step", flush=True)  # noqa: T201 -- its output is its progress


def _save(work: Path, network: LlamaForCausalLM, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    state = {"version": VERSION, "progress": asdict(progress), "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, work / "checkpoint.new")
    (work / "checkpoint.new").replace(work / "checkpoint.pt")


def _resumed(work: Path, network: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> Progress:
    try:
        state = torch.load(work / "checkpoint.pt", weights_only=True)
        if state["version"] != VERSION:
            return Progress()
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except (OSError, KeyError, RuntimeError):
        return Progress()
    progress = Progress(**state["progress"])
    print(f"goes on from step {progress.step}", flush=True)  # noqa: T201
    return progress


def check(network: LlamaForCausalLM, writer: sequences.Writer) -> dict[str, float]:
    """Shares of right tokens: ``own`` (letter and end, its own table), ``another`` (letter alone, another table), ``recited``."""
    network.eval()
    own = another = recited = total = facts = 0
    for number in range(CHECKED_TABLES):
        seed = fact_table.SEED + number
        table = fact_table.table(seed, fact_table.TABLE_FACTS)
        other = fact_table.table(seed + OTHER_TABLE, fact_table.TABLE_FACTS)
        for question in fact_table.questions(table, seed, per_block=CHECKED_PER_BLOCK):
            right, labels = answers_right(network, [sequences.asked_sequence(writer, table, question, facts=table)])
            own += right == labels
            blind = sequences.asked_sequence(writer, table, question, facts=other)
            blind.answer[-1] = sequences.NONE
            another += answers_right(network, [blind])[0]
            total += 1
        right, labels = answers_right(network, [sequences.recited_sequence(writer, table, 32 * number, 24)])
        recited, facts = recited + right, facts + labels
    return {"own": own / total, "another": another / total, "recited": recited / facts}


def noisy(model: Path, share: float, out: Path) -> None:
    """Write the model in ``model`` to ``out``, with normal noise of ``share`` times the spread of each matrix; the same each time."""
    network = transformers.LlamaForCausalLM.from_pretrained(model, dtype=torch.float32)
    add_noise(network, share, SEED)
    network.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (out / name).write_bytes((model / name).read_bytes())


def finish(work: Path, network: LlamaForCausalLM, writer: sequences.Writer, tokenizer: object, progress: Progress) -> dict[str, object]:
    """Check, write model and drafts, and return what is to be remembered of them.

    :raises ArithmeticError: when the model does not read its table, or does not need it.
    """
    print("checks the answers to tables that it has not seen", flush=True)  # noqa: T201
    checked = check(network, writer)
    print(  # noqa: T201
        f"right answers: {checked['own']:.1%} from the table, {checked['another']:.1%} from another table (guessing: 25 %); "
        f"recited {checked['recited']:.1%}",
        flush=True,
    )
    if checked["own"] < LEAST or checked["another"] > CHANCE:
        msg = f"the model must answer at least {LEAST:.0%} from its table and at most {CHANCE:.0%} from another one"
        raise ArithmeticError(msg)
    model = work / "finished" / "model"
    model.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(model)
    write_vocabulary(tokenizer, model)  # type: ignore[arg-type]
    _drafts(model, work / "finished")
    return {
        "version": VERSION,
        "steps": progress.step,
        "accuracy": checked,
        "weights_sha256": hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest(),
        "packages": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _drafts(model: Path, finished: Path) -> None:
    for noise in NOISES:
        noisy(model, noise / 100, finished / f"noise-{noise}")


def drafts_of(model: Path, finished: Path) -> dict[str, object]:
    """Write the drafts of the model in ``model``, and return what is to be remembered of them: what is of the model."""
    finished.mkdir(parents=True, exist_ok=True)
    _drafts(model, finished)
    known = json.loads((model / MARKER).read_text(encoding="utf-8"))
    return {name: value for name, value in known.items() if name not in {"schema", "noise_percent", "made"}}


def _remember(work: Path, result: dict[str, object]) -> None:
    (work / "finished" / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """See the module. ``--steps`` stops early, for a test."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--drafts-of", type=Path)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # we read nothing that we have not written
    transformers.utils.logging.disable_progress_bar()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.drafts_of is not None:
        _remember(given.work, drafts_of(given.drafts_of, given.work / "finished"))
        return 0
    tokenizer = make_tokenizer()
    writer = sequences.Writer(lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids))
    marked = {token: tokenizer.encode(token, add_special_tokens=False).ids[0] for token in MARKED}
    network = make_network(tokenizer.get_vocab_size(), marked, SEED)
    try:
        progress = train(given.work, network, writer, steps=given.steps)
        if given.steps is None or progress.step == progress.end:
            _remember(given.work, finish(given.work, network, writer, tokenizer, progress))
    except ArithmeticError as error:
        print(f"the model is no good: {error}", flush=True)  # noqa: T201
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
