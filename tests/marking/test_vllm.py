"""The processor for vLLM, driven as vLLM's V1 model runner drives one.

vLLM itself is not installed: a stand-in has the names that the processor imports and calls it in the documented order
(``update_state`` with what was removed, added and moved, then ``apply``), with output lists that grow under it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import Enum, auto
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.marking import prf, vllm
from spiritsafe.marking.keyring import read_keyring
from spiritsafe.marking.keys import MarkKey, new_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 500
TOML = """\
root = "root.key"
[[key]]
campaign = "c-1"
[[key]]
campaign = "c-2"
scheme = "gumbel"
width = 2
"""


class Move(Enum):
    """vLLM's MoveDirectionality."""

    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass(frozen=True)
class Update:
    """vLLM's BatchUpdate."""

    batch_size: int
    removed: list[int] = field(default_factory=list)
    added: list[tuple[int, Any, list[int] | None, list[int]]] = field(default_factory=list)
    moved: list[tuple[int, int, Move]] = field(default_factory=list)


@dataclass
class Params:
    """What the processor reads of vLLM's SamplingParams."""

    extra_args: dict[str, Any] | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[MarkKey]]:
    new_root(tmp_path / "root.key")
    (tmp_path / "keyring.toml").write_text(TOML, "utf-8")
    monkeypatch.setenv(vllm.ENVIRONMENT, str(tmp_path / "keyring.toml"))
    for name in ("vllm", "vllm.v1", "vllm.v1.sample", "vllm.v1.sample.logits_processor"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    seat = sys.modules["vllm.v1.sample.logits_processor"]
    monkeypatch.setattr(seat, "LogitsProcessor", type("LogitsProcessor", (), {}), raising=False)
    yield list(read_keyring(tmp_path / "keyring.toml"))
    vllm._keyring.cache_clear()
    vllm._processor.cache_clear()


def named(key: MarkKey, **how: Any) -> Params:
    return Params({vllm.ARGUMENT: key.key_id}, **how)


def greens(key: MarkKey, context: list[int]) -> np.ndarray:
    return prf.vocabulary(prf.seeds(key.words, np.array([context], np.int64))[0], SIZE) < key.share


def test_the_batch_is_followed_as_requests_come_move_and_go(keys: list[MarkKey]):
    torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
    green, gumbel = keys
    processor = vllm.MarkProcessor(None, torch.device("cpu"), False)
    assert not processor.is_argmax_invariant()
    assert processor.needs_output_token_ids()
    first: list[int] = [11, 12]
    second: list[int] = [21, 22, 23]
    plain: list[int] = [31, 32, 33]
    processor.update_state(
        Update(
            3,
            added=[
                (0, named(green), [1, 2], first),
                (1, Params(), [1], plain),
                (2, named(gumbel), [1], second),
            ],
        )
    )
    zeros = torch.zeros(3, SIZE)
    made = processor.apply(zeros.clone())
    assert not made[0].any()  # two tokens are less than the key's width
    assert not made[1].any()
    assert int(torch.isfinite(made[2]).sum()) == 1
    first.append(13)
    processor.update_state(None)
    made = processor.apply(zeros.clone())
    assert np.array_equal((made[0] > 0).numpy(), greens(green, [11, 12, 13]))
    # The marked ones change places, then one goes and the last moves up.
    processor.update_state(Update(3, moved=[(0, 2, Move.SWAP)]))
    made = processor.apply(zeros.clone())
    # Its context has been marked: nothing was drawn since, so it is asked again with the same answer.
    assert np.array_equal((made[2] > 0).numpy(), greens(green, [11, 12, 13]))
    processor.update_state(Update(2, removed=[0], moved=[(2, 0, Move.UNIDIRECTIONAL)]))
    first.append(14)
    made = processor.apply(torch.zeros(2, SIZE))
    assert np.array_equal((made[0] > 0).numpy(), greens(green, [12, 13, 14]))
    # A new request takes the place of a marked one.
    processor.update_state(Update(2, added=[(0, Params(), [1], [])]))
    assert not processor.apply(torch.zeros(2, SIZE)).any()


def test_a_context_is_marked_once_in_prompt_and_answer(keys: list[MarkKey]):
    output: list[int] = []
    one = vllm.Request(keys[0], vllm.Sampler(), [1, 2, 3, 4], output)
    told = []
    for token in (5, 6, 7, 1, 2, 3, 5, 6, 7, 8):
        output.append(token)
        told.append(one.context())
    assert told == [None, None, (5, 6, 7), (6, 7, 1), (7, 1, 2), None, (2, 3, 5), (3, 5, 6), None, (6, 7, 8)]
    # Contexts over the border of prompt and answer count as seen.
    output = [9, 3, 4, 9]
    assert vllm.Request(keys[0], vllm.Sampler(), [1, 2, 3, 4], output).context() is None


def test_a_race_leaves_greedy_answers_and_penalties_alone(keys: list[MarkKey]):
    green, gumbel = keys
    ring = vllm._keyring()
    assert vllm.request(ring, named(gumbel, temperature=0.0), [1], []) is None
    assert vllm.request(ring, named(gumbel, presence_penalty=0.5), [1], []) is None
    assert vllm.request(ring, named(gumbel, repetition_penalty=1.1), [1], []) is None
    assert vllm.request(ring, named(green, temperature=0.0, presence_penalty=0.5), [1], []) is not None
    kept = vllm.request(ring, named(gumbel, temperature=0.7, top_k=-1, top_p=0.9), None, [])
    assert kept is not None
    assert kept.sampler == vllm.Sampler(0.7, 0, 0.9)


def test_a_request_that_names_no_key_of_ours_fails_as_vllm_wants_it(keys: list[MarkKey]):
    vllm.MarkProcessor.validate_params(named(keys[0]))
    vllm.MarkProcessor.validate_params(Params())
    with pytest.raises(ValueError, match="no mark key here"):
        vllm.MarkProcessor.validate_params(Params({vllm.ARGUMENT: "wm-other"}))


def test_a_server_without_a_keyring_does_not_start(keys: list[MarkKey], monkeypatch: pytest.MonkeyPatch):
    vllm._keyring.cache_clear()
    monkeypatch.delenv(vllm.ENVIRONMENT)
    with pytest.raises(UsageError, match="SPIRITSAFE_KEYRING is not set"):
        vllm.MarkProcessor(None, None, False)
