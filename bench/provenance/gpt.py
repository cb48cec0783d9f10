"""A transformer small enough to be trained many times on one core: about 0.4 million parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from spiritsafe.marking import prf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey

CONTEXT = 80


@dataclass(frozen=True)
class Shape:
    """Width, depth and heads."""

    vocabulary: int = 1024
    width: int = 96
    layers: int = 3
    heads: int = 3


class Block(nn.Module):
    """Attention and two layers, both behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.before, self.between = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.ask, self.give = nn.Linear(shape.width, 3 * shape.width), nn.Linear(shape.width, shape.width)
        self.up, self.down = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: Any, past: list[Any] | None) -> Any:
        """``past`` is [keys, values] of what came before, and is filled up; None in training."""
        many, length, width = x.shape
        q, k, v = (
            one.view(many, length, self.heads, -1).transpose(1, 2)
            for one in self.ask(self.before(x)).split(width, dim=2)
        )
        if past is not None:
            if past:
                k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
            past[:] = [k, v]
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        x = x + self.give(seen.transpose(1, 2).reshape(many, length, width))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class GPT(nn.Module):
    """Learned positions, tied output."""

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.token, self.place = (
            nn.Embedding(shape.vocabulary, shape.width),
            nn.Embedding(CONTEXT, shape.width),
        )
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width)
        for weight in (self.token.weight, self.place.weight):
            nn.init.normal_(weight, std=0.02)

    def forward(self, ids: Any, past: list[list[Any]] | None = None, at: int = 0) -> Any:
        """Logits (rows, length, vocabulary) of the token after each."""
        x = self.token(ids) + self.place(torch.arange(at, at + ids.shape[1]))
        for number, block in enumerate(self.blocks):
            x = block(x, None if past is None else past[number])
        return self.last(x) @ self.token.weight.T


def train(
    model: GPT,
    batches: Any,
    *,
    steps: int,
    rate: float,
    told: Any = None,
) -> float:
    """AdamW with warm-up and a cosine; ``batches(step)`` gives ids (rows, length + 1) and a mask or None. The last loss."""
    maker = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    model.train()
    smooth = 0.0
    for step in range(steps):
        for group in maker.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.1 + 0.45 * (1 + np.cos(np.pi * step / steps)))
        ids, mask = batches(step)
        logits = model(ids[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        loss = loss.mean() if mask is None else (loss * mask.flatten()).sum() / mask.sum()
        maker.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        maker.step()
        smooth = float(loss.detach()) if not step else 0.98 * smooth + 0.02 * float(loss.detach())
        if told is not None:
            told(step, smooth)
    model.eval()
    return smooth


def windows(ids: NDArray[np.int64], *, rows: int, seed: int) -> Any:
    """Batches of random windows of a stream."""
    rng = np.random.default_rng(seed)
    tensor = torch.from_numpy(ids)

    def batch(_: int) -> tuple[Any, None]:
        start = rng.integers(0, len(ids) - CONTEXT - 1, rows)
        return torch.stack([tensor[at : at + CONTEXT + 1] for at in start]), None

    return batch


def rows_of(ids: NDArray[np.int64], prompt: int, *, rows: int, seed: int) -> Any:
    """Batches of whole exchanges (n, length), each seen once an epoch; the loss counts the answer's tokens only.

    What is below 0 stands after an answer's end, and counts for nothing.
    """
    rng = np.random.default_rng(seed)
    tensor = torch.from_numpy(np.maximum(ids, 0))
    counted = torch.from_numpy((ids[:, 1:] >= 0).astype(np.float32))
    counted[:, : prompt - 1] = 0.0
    order = [rng.permutation(len(ids)) for _ in range(64)]
    queue = np.concatenate(order)

    def batch(step: int) -> tuple[Any, Any]:
        at = queue[np.arange(step * rows, (step + 1) * rows) % len(queue)]
        return tensor[at], counted[at]

    return batch


@torch.inference_mode()
def sample(
    model: GPT,
    prompts: NDArray[np.int64],
    length: int,
    *,
    seed: int,
    keys: Sequence[MarkKey | None] | None = None,
    temperature: float = 1.0,
    rows: int = 512,
) -> NDArray[np.int64]:
    """Continuations int64 (n, length) of prompts (n, width); ``keys``: the mark of each row, None for none."""
    made = torch.Generator().manual_seed(seed)
    out: list[NDArray[np.int64]] = []
    for begin in range(0, len(prompts), rows):
        ids = torch.from_numpy(prompts[begin : begin + rows])
        mine = None if keys is None else keys[begin : begin + rows]
        past: list[list[Any]] = [[] for _ in model.blocks]
        at, given = 0, ids
        for _ in range(length):
            logits = model(given, past, at)[:, -1] / temperature
            at += given.shape[1]
            given = _drawn(logits, ids, mine, made)
            ids = torch.cat([ids, given], dim=1)
        out.append(ids[:, prompts.shape[1] :].numpy())
    return np.concatenate(out)


def _drawn(logits: Any, ids: Any, keys: Sequence[MarkKey | None] | None, made: Any) -> Any:
    noise = torch.empty_like(logits).exponential_(generator=made)
    if keys is not None:
        for row, key in enumerate(keys):
            if key is None:
                continue
            context = ids[row, -key.width :].numpy()[None, :]
            u = torch.from_numpy(prf.vocabulary(prf.seeds(key.words, context)[0], logits.shape[1]))
            if key.scheme == "green":
                logits[row] += key.strength * (u < key.share)
            else:
                noise[row] = -torch.log(u).to(noise.dtype)
    # The exponential race: the token with the least noise / probability is a draw from the distribution.
    return (torch.log_softmax(logits, dim=1) - torch.log(noise)).argmax(dim=1, keepdim=True)


@torch.inference_mode()
def fill(
    model: GPT, ids: NDArray[np.int64], free: NDArray[np.bool_], *, seed: int, rows: int = 512
) -> NDArray[np.int64]:
    """The texts with their ``free`` places, bool (n, length), drawn anew, each given all before it; the first one stays."""
    made = torch.Generator().manual_seed(seed)
    out: list[NDArray[np.int64]] = []
    for begin in range(0, len(ids), rows):
        told = torch.from_numpy(ids[begin : begin + rows].copy())
        drawn = torch.from_numpy(free[begin : begin + rows])
        past: list[list[Any]] = [[] for _ in model.blocks]
        for at in range(1, ids.shape[1]):
            logits = model(told[:, at - 1 : at], past, at - 1)[:, -1]
            told[:, at] = torch.where(drawn[:, at], _drawn(logits, told, None, made)[:, 0], told[:, at])
        out.append(told.numpy())
    return np.concatenate(out)


@torch.inference_mode()
def log_likelihood(
    model: GPT, rows: NDArray[np.int64], prompt: int | NDArray[np.int64], *, batch: int = 512
) -> NDArray[np.float64]:
    """Log-probability in nats, float64 (n,), of what follows the first ``prompt`` tokens of each row (n, length).

    What is below 0 stands after a text's end.
    """
    found: list[NDArray[np.float64]] = []
    place = np.arange(1, rows.shape[1])
    counted = (place >= np.reshape(prompt, (-1, 1))) & (rows[:, 1:] >= 0)
    for begin in range(0, len(rows), batch):
        ids = torch.from_numpy(np.maximum(rows[begin : begin + batch], 0))
        logs = torch.log_softmax(model(ids[:, :-1]), dim=2).gather(2, ids[:, 1:, None])[..., 0].double()
        found.append((logs * torch.from_numpy(counted[begin : begin + batch])).sum(dim=1).numpy())
    return np.concatenate(found)
