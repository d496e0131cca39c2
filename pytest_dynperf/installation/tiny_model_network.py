"""The tiny model's network: a Llama of 0.8 million parameters, begun so that it learns to look things up within minutes.

Begun at random it did not learn within three minutes. What is set at the beginning stays trainable: queries resemble keys (a token attends
to its like), outputs undo values (what is attended to is copied), and three heads of the first layer attend one and two tokens back, by the
phase of their rotary embedding. Runs in the engine's environment: needs torch and transformers.
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
ROPE = 100_000.0
OFFSETS = (2, 2, 1)
"""Tokens back that the first heads of the first layer attend to at the beginning."""

STRENGTH = 7.5
"""Amplitude of their queries and keys: one token beside the right one is e⁶ times weaker."""


def make_network(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """The network before its training."""
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
    with torch.no_grad():
        _begin_embeddings(network)
        for layer in network.model.layers:
            _begin_attention(layer.self_attn)
        _begin_offsets(network.model.layers[0].self_attn)
    return network


def _begin_embeddings(network: LlamaForCausalLM) -> None:
    """The first dimension is the same for every token: a constant that the offset heads read."""
    weight = network.model.embed_tokens.weight
    weight.normal_(0.0, 1 / math.sqrt(WIDTH))
    weight[:, 0] = 4 / math.sqrt(WIDTH)


def _begin_attention(attention: torch.nn.Module) -> None:
    spread = 1 / math.sqrt(WIDTH)
    key = torch.randn(WIDTH, WIDTH) * spread
    value = torch.randn(WIDTH, WIDTH) * spread
    key[:, 0] = 0.0
    value[:, 0] = 0.0
    attention.k_proj.weight.copy_(key)
    attention.q_proj.weight.copy_(key + 0.1 * spread * torch.randn(WIDTH, WIDTH))
    attention.v_proj.weight.copy_(value)
    attention.o_proj.weight.copy_(0.2 * value.T)


def _begin_offsets(attention: torch.nn.Module) -> None:
    """A query that is a key turned back by the offset's phase has its largest product with the key that many tokens back."""
    half = HEAD // 2
    frequencies = ROPE ** (-torch.arange(half, dtype=torch.float32) / half)
    constant = 4 / math.sqrt(16 + WIDTH - 1) * math.sqrt(WIDTH)  # what the first dimension is after the norm
    for head, offset in enumerate(OFFSETS):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        key = torch.zeros(HEAD)
        key[:half] = STRENGTH / constant
        phase = -offset * frequencies
        query = torch.cat((key[:half] * torch.cos(phase), key[:half] * torch.sin(phase)))
        for projection, column in ((attention.k_proj, key), (attention.q_proj, query)):
            projection.weight[rows] *= 0.1
            projection.weight[rows, 0] = column


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
