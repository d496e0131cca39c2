"""The tiny model's network: a Llama of 0.8 million parameters, begun so that it can look things up before it has learnt anything.

Begun at random it does not learn within minutes. Here the beginning is a sketch of what such a network comes to, which training turns
into one that works; everything stays trainable. Layer 0 copies the tokens one and two back (by the phase of rotary embeddings) into
dimensions of their own. Layer 1 attends from a key to the word that had this key two back, and copies it: the value. Layer 2 attends, at
the end of a question, to the key that was asked for. Layer 3 attends to the choice that is this value, and copies the letter two back.
Runs in the engine's environment: needs torch and transformers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pytest_dynperf.installation.tiny_model_sequences import NONE
from pytest_dynperf.installation.tiny_model_vocabulary import CONTEXT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dynperf.installation.tiny_model_sequences import Labelled

WIDTH, HEADS, LAYERS, INNER = 128, 4, 4, 256
HEAD = WIDTH // HEADS
ROPE = 1e12
OFFSETS = (2, 2, 1)
"""Tokens back that the first heads of layer 0 attend to."""

LOW = slice(4, 15)
"""Rotary pairs that turn by less than a radian over 1,000 tokens: what is matched over a distance is matched there."""
MARKS, SINK_AT = 15, 31
"""The pair that does not turn: marks are matched there."""
FAST = 6
"""Rotary pairs, from the first, that tell a token from its neighbour."""
NEAR = slice(2, 4)
"""Rotary pairs that turn by a radian over 10 and 50 tokens: by them the nearest of several is preferred."""
CONSTANT, ASKING, ASKED, WAITING, CHOOSING, SINK, LETTER, OFFERED = range(8)
"""Dimensions of their own, in this order: for every token; for ``What``; for the token two after it, the key; for the tokens at the end of
a question; for the one of them that is answered with a letter; for the first token, which whoever looks for nothing attends to; for the
letters; for the word that stands two after a letter. The others are random.
"""
OFFSET_STRENGTH, COPIED = 3.5, 0.1
LOOKUP_STRENGTH, LOOKUP_SINK, VALUE = 4.0, 0.3, 0.6
GATHER_STRENGTH, GATHER_SINK, GATHER_NEAR, GATHERED = 12.0, 6.0, 5.0, 0.6
CHOICE_STRENGTH, CHOICE_SINK, CHOICE_NEAR, CHOICE_OFFERED, CHOICE_AWAY, CHOSEN = 2.0, 6.0, 6.0, 14.0, 30.0, 6.0
"""Sizes that were tuned by what the network knows before its training."""
QUIET = 0.002
"""Spread of what has no part in the sketch: small, so that marks stay clean."""
MARKED = ("<s>", "What", ":", "</s>", "<|assistant|>", "A", "B", "C", "D")
"""Tokens with a mark."""
MARK = 4 / math.sqrt(WIDTH)
WORD, TWO_BACK, ONE_BACK = slice(8, 64), slice(64, 104), slice(104, WIDTH)
"""Dimensions of a token itself, and of what is copied from the tokens before it."""


def make_network(vocabulary: int, marked: dict[str, int], seed: int) -> LlamaForCausalLM:
    """The network before its training. ``marked``: ids of :data:`MARKED`."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=HEAD,
        max_position_embeddings=CONTEXT_TOKENS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE},
    )
    network = LlamaForCausalLM(config).float()
    wide, near = TWO_BACK.stop - TWO_BACK.start, ONE_BACK.stop - ONE_BACK.start
    words = torch.linalg.qr(torch.randn(WORD.stop - WORD.start, WORD.stop - WORD.start)).Q
    with torch.no_grad():
        _begin_embeddings(network, marked)
        layers = [layer.self_attn for layer in network.model.layers]
        for attention in layers:
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj):
                projection.weight.normal_(0.0, QUIET)
        for layer in network.model.layers:
            layer.mlp.down_proj.weight.normal_(0.0, QUIET)
        _begin_offsets(layers[0], words[:wide], words[:near])
        _begin_lookup(layers[1], words)
        _begin_gathering(layers[2], words)
        _begin_choice(layers[3], words)
    return network


def _begin_embeddings(network: LlamaForCausalLM, marked: dict[str, int]) -> None:
    weight = network.model.embed_tokens.weight
    weight.zero_()
    weight[:, WORD] = torch.randn(weight[:, WORD].shape)
    weight /= weight.norm(dim=1, keepdim=True)  # else the constant would not be one after the norm
    weight[marked["<s>"]] = 0.0
    weight[marked["<s>"], SINK] = 1.0
    weight[:, CONSTANT] = MARK
    weight[marked["What"], ASKING] = MARK
    for token in (":", "</s>", "<|assistant|>"):
        weight[marked[token], WAITING] = MARK
    weight[marked["<|assistant|>"], CHOOSING] = MARK
    for letter in "ABCD":
        weight[marked[letter], LETTER] = MARK


def _rows(head: int) -> slice:
    return slice(head * HEAD, (head + 1) * HEAD)


def _begin_offsets(attention: torch.nn.Module, two_back: torch.Tensor, one_back: torch.Tensor) -> None:
    """A query that is a key turned back by the offset's phase has its largest product with the key that many tokens back."""
    half = HEAD // 2
    frequencies = ROPE ** (-torch.arange(half, dtype=torch.float32) / half)
    for head, offset in enumerate(OFFSETS):
        rows = _rows(head)
        key = torch.zeros(HEAD)
        key[:FAST] = OFFSET_STRENGTH
        phase = -offset * frequencies
        attention.k_proj.weight[rows, CONSTANT] = key
        attention.q_proj.weight[rows, CONSTANT] = torch.cat((key[:half] * torch.cos(phase), key[:half] * torch.sin(phase)))
    part = len(two_back) // 2
    for head, copied, place in (
        (0, two_back[:part], TWO_BACK.start),
        (1, two_back[part:], TWO_BACK.start + part),
        (2, one_back, ONE_BACK.start),
    ):
        first, count = head * HEAD, len(copied)
        attention.v_proj.weight[first : first + count, WORD] = copied
        attention.o_proj.weight[place : place + count, first : first + count] = COPIED * torch.eye(count)
    for head, mark, seen in ((0, ASKING, ASKED), (1, LETTER, OFFERED)):
        last = (head + 1) * HEAD - 1
        attention.v_proj.weight[last, mark] = 1.0
        attention.o_proj.weight[seen, last] = COPIED


def _matched(attention: torch.nn.Module, asked: torch.Tensor, offered: torch.Tensor, strength: float) -> None:
    """Each head matches 22 directions: ``asked`` in what asks with ``offered`` in what is there (rows over all dimensions)."""
    each = LOW.stop - LOW.start
    for head in range(HEADS):
        for part in range(2):
            first = head * HEAD + part * HEAD // 2 + LOW.start
            chosen = (torch.arange(each) + (2 * head + part) * each) % len(asked)
            attention.q_proj.weight[first : first + each] = strength * asked[chosen]
            attention.k_proj.weight[first : first + each] = strength * offered[chosen]


def _copied(attention: torch.nn.Module, source: torch.Tensor, goal: torch.Tensor, strength: float) -> None:
    """What is attended to is copied: each row of ``source`` to the same row of ``goal``, a fourth of them by each head."""
    each = -(-len(source) // HEADS)
    for head in range(HEADS):
        chosen = slice(head * each, min((head + 1) * each, len(source)))
        count = chosen.stop - chosen.start
        attention.v_proj.weight[head * HEAD : head * HEAD + count] = source[chosen]
        attention.o_proj.weight[:, head * HEAD : head * HEAD + count] = strength * goal[chosen].T


def _over_all(rows: torch.Tensor, place: slice) -> torch.Tensor:
    wide = torch.zeros(len(rows), WIDTH)
    wide[:, place] = rows
    return wide


def _near(attention: torch.nn.Module, asking: int, strength: float) -> None:
    """What has the mark ``asking`` prefers what is near."""
    for head in range(HEADS):
        rows = slice(head * HEAD + NEAR.start, head * HEAD + NEAR.stop)
        attention.q_proj.weight[rows, asking] = strength
        attention.k_proj.weight[rows, CONSTANT] = strength


def _sink(attention: torch.nn.Module, strength: float, unless: int | None = None) -> None:
    """Whoever finds nothing better attends to the first token; not what has the mark ``unless``."""
    for head in range(HEADS):
        at = head * HEAD + SINK_AT
        attention.q_proj.weight[at] = 0.0
        attention.k_proj.weight[at] = 0.0
        attention.q_proj.weight[at, CONSTANT] = strength
        if unless is not None:
            attention.q_proj.weight[at, unless] = -strength
        attention.k_proj.weight[at, SINK] = strength


def _begin_lookup(attention: torch.nn.Module, words: torch.Tensor) -> None:
    count = TWO_BACK.stop - TWO_BACK.start
    _matched(attention, _over_all(words[:count], WORD), _over_all(torch.eye(count), TWO_BACK), LOOKUP_STRENGTH)
    _copied(attention, _over_all(words, WORD), _over_all(words, WORD), VALUE)
    _sink(attention, LOOKUP_SINK)


def _begin_gathering(attention: torch.nn.Module, words: torch.Tensor) -> None:
    _near(attention, WAITING, GATHER_NEAR)
    for head in range(HEADS):
        at = head * HEAD + MARKS
        attention.q_proj.weight[at, WAITING] = GATHER_STRENGTH
        attention.k_proj.weight[at, ASKED] = GATHER_STRENGTH
    _copied(attention, _over_all(words, WORD), _over_all(words, WORD), GATHERED)
    _sink(attention, GATHER_SINK, WAITING)


def _begin_choice(attention: torch.nn.Module, words: torch.Tensor) -> None:
    count = TWO_BACK.stop - TWO_BACK.start
    _matched(attention, _over_all(words, WORD), _over_all(words, WORD), CHOICE_STRENGTH)
    _near(attention, CHOOSING, CHOICE_NEAR)
    for head in range(HEADS):
        at = head * HEAD + MARKS
        attention.q_proj.weight[at, CHOOSING] = CHOICE_OFFERED
        attention.k_proj.weight[at, OFFERED] = CHOICE_OFFERED
        attention.k_proj.weight[at, ASKED] = -CHOICE_AWAY
        attention.k_proj.weight[at, WAITING] = -CHOICE_AWAY
    _copied(attention, _over_all(torch.eye(count), TWO_BACK), _over_all(words[:count], WORD), CHOSEN)
    _sink(attention, CHOICE_SINK, CHOOSING)


def batch_of(sequences: Sequence[Labelled]) -> dict[str, torch.Tensor]:
    """Tensors of sequences, padded on the right: causal attention never looks there."""
    longest = max(len(sequence.tokens) for sequence in sequences)

    def padded(rows: Sequence[list[int]], filling: int) -> torch.Tensor:
        return torch.tensor([row + [filling] * (longest - len(row)) for row in rows])

    return {
        "tokens": padded([sequence.tokens for sequence in sequences], 0),
        "answer": padded([sequence.answer for sequence in sequences], NONE),
        "looked_up": padded([sequence.looked_up for sequence in sequences], NONE),
        "letters": torch.tensor([(row, at) for row, sequence in enumerate(sequences) for at in sequence.letters]),
        "keys": torch.tensor([(row, at) for row, sequence in enumerate(sequences) for at in sequence.keys]),
    }


def loss_of(network: LlamaForCausalLM, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float, float]:
    """The loss, the share of letters that are right, and of keys whose value is."""
    hidden = network.model(input_ids=batch["tokens"], use_cache=False).last_hidden_state
    loss = torch.zeros(())
    for label in ("answer", "looked_up"):
        wanted = batch[label] != NONE
        loss = loss + torch.nn.functional.cross_entropy(network.lm_head(hidden[wanted]), batch[label][wanted])
    with torch.no_grad():
        letter = _right(network, hidden, batch["letters"], batch["answer"])
        key = _right(network, hidden, batch["keys"], batch["looked_up"])
    return loss, letter, key


def _right(network: LlamaForCausalLM, hidden: torch.Tensor, places: torch.Tensor, labels: torch.Tensor) -> float:
    at = (places[:, 0], places[:, 1])
    return float((network.lm_head(hidden[at]).argmax(-1) == labels[at]).float().mean())


def answers_right(network: LlamaForCausalLM, sequences: Sequence[Labelled]) -> tuple[int, int]:
    """How many of the labelled answers come out right, token by token, and of how many; greedy, over the whole vocabulary."""
    batch = batch_of(sequences)
    with torch.no_grad():
        hidden = network.model(input_ids=batch["tokens"], use_cache=False).last_hidden_state
        wanted = batch["answer"] != NONE
        right = network.lm_head(hidden[wanted]).argmax(-1) == batch["answer"][wanted]
    return int(right.sum()), int(wanted.sum())


def add_noise(network: LlamaForCausalLM, share: float, seed: int) -> None:
    """Add normal noise to every weight, with ``share`` times the standard deviation of its matrix."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * (share * weight.float().std()))
