"""A model server on loopback that speaks three protocols, weights in a folder, a test for the registry, and the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

SRC = Path(__file__).parents[2] / "src"

# A sign test: how often does the suspect find the served answer likelier than the other? Exact for any suspect.
TINY = '''
from scipy import stats
from spiritsafe.model import Finding

TIER = "A"
NEEDS = ("pairs",)

def tiny_signs(suspect, teacher, controls, *, seed, alpha=0.01):
    """Counts pairs whose served side is likelier."""
    told = {(r["item"], r["side"]): r["logprob"] for r in suspect.scores.to_pylist()}
    wins = used = 0
    rows = teacher.pairs.to_pylist()
    for row in rows:
        sides = [told.get((row["pair_id"], side)) for side in ("first", "second")]
        if None in sides or sides[0] == sides[1] or not row["committed"] or row["snapshot"] != row["ghost_snapshot"]:
            continue
        used += 1
        wins += (sides[0] < sides[1]) == bool(row["coin"])
    p = float(stats.binom.sf(wins - 1, used, 0.5)) if used else 1.0
    log = float(stats.binom.logsf(wins - 1, used, 0.5) / 2.302585092994046) if wins else 0.0
    verdict = "inconclusive" if not used else "supports derivation" if p <= alpha else "does not support derivation"
    share = wins / used if used else 0.5
    return Finding("tiny_signs", TIER, suspect.name, "coins are independent of the suspect", float(wins), p, log, share,
                   (max(0.0, share - 0.1), min(1.0, share + 0.1)), "share of pairs", used, "logprobs", alpha, verdict, seed,
                   {"used": used, "unused": len(rows) - used}, {} if used else {"why": "no pair was scored"},
                   ("rewording of the training text",), e_value=1.8**wins * 0.2 ** (used - wins))
'''
BROKEN = '''
TIER = "A"
NEEDS = ("pairs",)

def tiny_broken(suspect, teacher, controls, *, seed, alpha=0.01):
    """Breaks."""
    raise RuntimeError("out of luck")
'''


@dataclass
class Model:
    """What the server does: ``known`` texts are likelier than others; ``trouble`` are statuses to give first."""

    known: set[str] = field(default_factory=set[str])
    answer: Callable[[dict[str, Any]], str | None] = lambda body: f"I say {body['messages'][-1]['content']}"
    finish: str | None = None
    logprobs: bool = True
    letters: bool = False
    fingerprint: str | None = "fp-1"
    trouble: list[int] = field(default_factory=list[int])
    fail_after: int | None = None
    echo_key: bool = False
    pause: float = 0.0
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list[tuple[str, dict[str, Any]]])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.endswith("/messages"):
            text = self.answer(body)
            content = [] if text is None else [{"type": "text", "text": text}]
            return {
                "model": body["model"], "content": content, "stop_reason": self.finish or "end_turn",
                "usage": {"input_tokens": 5, "output_tokens": 7},
            }  # fmt: skip
        if path.endswith("/chat/completions"):
            message = {"role": "assistant", "content": self.answer(body)}
            return {
                "model": body["model"], "system_fingerprint": self.fingerprint,
                "choices": [{"message": message, "finish_reason": self.finish or "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7},
            }  # fmt: skip
        return {"model": body["model"], "choices": [{"text": "", "logprobs": self._echo(body["prompt"])}],
                "usage": {"prompt_tokens": 9}}  # fmt: skip

    def _echo(self, prompt: str) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        prefix, _, text = prompt.rpartition("A: ")
        size = len(prefix) + 3
        places = (
            list(range(len(prompt))) if self.letters else [m.start() for m in re.finditer(r"\S+\s*", prompt)]
        )
        each = -0.5 if text in self.known else -1.0
        return {
            "text_offset": [*places, len(prompt)],
            "token_logprobs": [None, *(each if at >= size else -3.0 for at in places[1:]), -9.0],
        }


@pytest.fixture
def model_server() -> Generator[Callable[..., Model]]:
    """Starts servers on loopback; each call gives another model."""
    servers: list[ThreadingHTTPServer] = []

    def start(**how: Any) -> Model:
        model = Model(**how)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in two packets would cost 40 ms a request: the second waits for the first's acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model.seen.append((self.path, body))
                model.headers.append({name.lower(): value for name, value in self.headers.items()})
                threading.Event().wait(model.pause)
                status = model.trouble.pop(0) if model.trouble else 200
                if model.fail_after is not None and len(model.seen) > model.fail_after:
                    status = 503
                key = self.headers.get("authorization", "") if model.echo_key else ""
                told = model.reply(self.path, body) if status == 200 else {"error": f"trouble {key}"}
                data = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        model.url = f"http://127.0.0.1:{server.server_port}/v1"
        return model

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def weights() -> Callable[..., Path]:
    """Makes folders of weights that transformers loads: random ones, over ``words`` that are split at spaces."""
    why = "comes with the extra `provenance`"
    torch: Any = pytest.importorskip("torch", reason=f"PyTorch {why}")
    transformers: Any = pytest.importorskip("transformers", reason=f"transformers {why}")
    tokenizers: Any = pytest.importorskip("tokenizers", reason=f"tokenizers {why}")

    def make(
        where: Path, words: Sequence[str], *, room: int = 32, places: bool = False, seed: int = 0
    ) -> Path:
        special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "?"}
        listed = [*special.values(), *words]
        inner = tokenizers.Tokenizer(
            tokenizers.models.WordLevel(
                {word: at for at, word in enumerate(listed)}, unk_token=special["unk_token"]
            )
        )
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(where)
        torch.manual_seed(seed)
        shape: dict[str, Any] = {"vocab_size": len(listed), "bos_token_id": 0, "eos_token_id": 1}
        if places:  # positions are learned, so that padding before a text would be seen
            config = transformers.GPT2Config(
                n_embd=16, n_layer=1, n_head=2, n_positions=room, initializer_range=0.5, **shape
            )
        else:
            config = transformers.LlamaConfig(
                hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                max_position_embeddings=room, initializer_range=0.5, **shape,
            )  # fmt: skip
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(where)
        return where

    return make


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A package from outside that adds two provenance tests by entry points; for this process and its children."""
    where = tmp_path / "site"
    info = where / "tiny_proof-1.0.dist-info"
    info.mkdir(parents=True)
    (where / "tiny_signs.py").write_text(TINY)
    (where / "tiny_broken.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-proof\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spiritsafe.provenance]\ntiny_signs = tiny_signs:tiny_signs\ntiny_broken = tiny_broken:tiny_broken\n"
    )
    monkeypatch.syspath_prepend(str(where))
    monkeypatch.setenv("PYTHONPATH", f"{where}{os.pathsep}{SRC}")
    registry.extensions.cache_clear()
    yield where
    registry.extensions.cache_clear()
    for name in ("tiny_signs", "tiny_broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def command(
    extension: Path, ran: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``spiritsafe …`` here, with the extension."""
    return ran


@pytest.fixture
def stranger(extension: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``spiritsafe …`` in a process of its own, which knows nothing but what is on disk."""

    def run(*words: Any) -> subprocess.CompletedProcess[str]:
        start = [sys.executable, "-c", "from spiritsafe.cli import main; main()", *map(str, words)]
        return subprocess.run(start, capture_output=True, text=True, check=False)

    return run
