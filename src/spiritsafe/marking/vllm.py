"""Marks what vLLM generates: a batch-level logits processor of its V1 model runner.

::

    export SPIRITSAFE_KEYRING=/etc/spiritsafe/keyring.toml
    vllm serve MODEL --logits-processors spiritsafe.marking.vllm:MarkProcessor

A request names its key in ``vllm_xargs.spiritsafe_mark``, where the gateway's ``mark`` order puts it with
``carrier = "vllm_xargs"``. Written after vLLM's documented interface (``vllm.v1.sample.logits_processor``) and tested
against a stand-in with its calls; it was not run inside vLLM. vLLM's newer Model Runner V2 has another interface and needs
``VLLM_USE_V2_MODEL_RUNNER=0``.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spiritsafe.errors import UsageError
from spiritsafe.marking.draw import Sampler, mark
from spiritsafe.marking.keyring import Keyring, read_keyring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.marking.keys import MarkKey

ARGUMENT: Final = "spiritsafe_mark"
ENVIRONMENT: Final = "SPIRITSAFE_KEYRING"
_GREEDY = 1e-5
"""The temperature below which vLLM takes the likeliest token."""


class Request:
    """One marked answer: its key, its sampler, and the contexts that stood in it so far.

    prompt and output are vLLM's lists of token ids; it appends to ``output`` as tokens are drawn.
    """

    __slots__ = ("_output", "_prompt", "_read", "_seen", "key", "sampler")

    def __init__(self, key: MarkKey, sampler: Sampler, prompt: Sequence[int], output: Sequence[int]) -> None:
        self.key, self.sampler = key, sampler
        self._prompt, self._output = prompt, output
        self._seen: set[tuple[int, ...]] = set()
        self._read = 0

    def context(self) -> tuple[int, ...] | None:
        """The tokens that choose the next one's numbers; None where the next token is not to be marked."""
        width, prompt, output = self.key.width, self._prompt, self._output
        if len(output) < width:
            return None
        # Contexts that ended before the newest token: first those of the prompt, then one a step.
        known = len(prompt) + len(output)
        for end in range(max(self._read, width), known):
            low = end - width
            self._seen.add(
                tuple(output[low - len(prompt) : end - len(prompt)])
                if low >= len(prompt)
                else (*prompt[low:end], *output[: max(0, end - len(prompt))])
            )
        self._read = known
        now = tuple(output[-width:])
        return None if now in self._seen else now


def request(
    keyring: Keyring, params: Any, prompt: Sequence[int] | None, output: Sequence[int]
) -> Request | None:
    """What to remember of a request that entered the batch; None where its answer goes out unmarked.

    params: vLLM's SamplingParams. Under a "gumbel" key greedy answers and answers with penalties are not marked: the race
    is the sampling, and penalties come after it. Raises UsageError for an unknown key id under "refuse".
    """
    key = keyring.get((params.extra_args or {}).get(ARGUMENT))
    if key is None:
        return None
    sampler = Sampler()
    if key.scheme == "gumbel":
        penalties = (params.presence_penalty, params.frequency_penalty, params.repetition_penalty - 1.0)
        if params.temperature < _GREEDY or any(penalties):
            return None
        # vLLM writes "all tokens" as 0 or -1.
        sampler = Sampler(params.temperature, max(0, params.top_k), params.top_p, params.min_p)
    return Request(key, sampler, prompt or (), output)


@cache
def _keyring() -> Keyring:
    path = os.environ.get(ENVIRONMENT)
    if not path:
        raise UsageError(f"{ENVIRONMENT} is not set", hint="name the keyring's TOML file in it")
    return read_keyring(Path(path))


def __getattr__(name: str) -> Any:
    # vLLM imports PyTorch; whoever imports this module without asking for the processor imports neither.
    if name != "MarkProcessor":
        raise AttributeError(name)
    return _processor()


@cache
def _processor() -> type:
    from vllm.v1.sample.logits_processor import (  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
        LogitsProcessor,
    )

    return type("MarkProcessor", (Processor, LogitsProcessor), {})


class Processor:
    """vLLM's side of it: keeps the marked requests by their place in the batch. ``MarkProcessor`` is this, as vLLM's own."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:  # noqa: ARG002, FBT001
        self._keyring = _keyring()
        self._requests: dict[int, Request] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise ValueError, which fails the request, for a key that is not here."""
        try:
            _keyring().get((sampling_params.extra_args or {}).get(ARGUMENT))
        except UsageError as error:
            raise ValueError(error.message) from error

    def is_argmax_invariant(self) -> bool:
        """A mark changes the likeliest token: so vLLM runs it on raw logits, before temperature, also for greedy ones."""
        return False

    def needs_output_token_ids(self) -> bool:
        """Contexts are made of them."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Follow the batch; vLLM's BatchUpdate is to be read in the order removed, added, moved."""
        if batch_update is None:
            return
        requests = self._requests
        for place in batch_update.removed:
            requests.pop(place, None)
        for place, params, prompt, output in batch_update.added:
            requests.pop(place, None)
            if (one := request(self._keyring, params, prompt, output)) is not None:
                requests[place] = one
        for here, there, direction in batch_update.moved:
            moved, other = requests.pop(here, None), requests.pop(there, None)
            if moved is not None:
                requests[there] = moved
            if other is not None and direction.name == "SWAP":
                requests[here] = other

    def apply(self, logits: Any) -> Any:
        """Mark the rows that are due; logits (batch, vocabulary), changed in place."""
        due = [(place, one, now) for place, one in self._requests.items() if (now := one.context())]
        mark(
            logits,
            [place for place, _, _ in due],
            [one.key for _, one, _ in due],
            [np.array(now, np.int64) for _, _, now in due],
            [one.sampler for _, one, _ in due],
        )
        return logits
