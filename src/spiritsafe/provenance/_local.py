"""A suspect that is there as weights: a folder that transformers can load. It answers, scores given texts, and reads them.

PyTorch and transformers belong to the extra ``provenance`` and are imported when a model is opened. Nothing is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.errors import InputError, UsageError
from spiritsafe.provenance._endpoint import Said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Local:
    """One model in memory. Raises UsageError without the extra, InputError when the folder holds no model.

    ``before``: template of what stands before an answer, ``{prompt}`` replaced; else the model's own chat template, else
    the bare prompt.
    """

    def __init__(self, folder: Path, *, before: str | None = None, system: str | None = None) -> None:
        try:
            import torch  # noqa: PLC0415 - an extra, and slow to load
            import transformers  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                "a local model needs PyTorch and transformers", hint="pip install 'spiritsafe[provenance]'"
            ) from error
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            load: Any = transformers.AutoTokenizer.from_pretrained
            self._tokenizer: Any = load(folder, local_files_only=True, trust_remote_code=False)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError("this folder holds no model that can be loaded", where=str(folder)) from error
        if not self._tokenizer.is_fast:
            raise InputError("the model's tokenizer tells no places of its tokens", where=str(folder))
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "left"
        self._torch, self._model, self._before, self._system = torch, model.eval(), before, system
        self.name = folder.name

    def ask(self, prompts: Sequence[str], sampler: Mapping[str, float], *, seed: int) -> list[Said]:
        """One sampled answer to each prompt. ``sampler``: max_tokens, temperature, top_p."""
        torch, tokenizer = self._torch, self._tokenizer
        tokens = tokenizer(
            [self._prefix(one) for one in prompts],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        torch.manual_seed(seed)
        heat = float(sampler.get("temperature", 1.0))
        how: dict[str, Any] = (
            {"do_sample": True, "temperature": heat, "top_p": float(sampler.get("top_p", 1.0)), "top_k": 0}
            if heat > 0
            else {"do_sample": False}
        )
        room = int(sampler["max_tokens"])
        with torch.no_grad():
            made = self._model.generate(
                **tokens, max_new_tokens=room, pad_token_id=tokenizer.pad_token_id, **how
            )
        begin = tokens["input_ids"].shape[1]
        ends = self._model.generation_config.eos_token_id
        stops = {ends} if isinstance(ends, int) else set(ends or [tokenizer.eos_token_id])
        said: list[Said] = []
        for row, mask in zip(made[:, begin:].tolist(), tokens["attention_mask"], strict=True):
            length = next((at for at, token in enumerate(row) if token in stops), len(row))
            text = tokenizer.decode(row[:length], skip_special_tokens=True)
            status = "empty" if not text.strip() else "truncated" if length == room else "ok"
            said.append(Said(status, text, self.name, None, int(mask.sum()), length))
        return said

    def score(self, prompts: Sequence[str], texts: Sequence[str]) -> list[Said]:
        """Log-probability (nats) of each text behind its prompt; a token across the border counts as the text's."""
        torch, tokenizer = self._torch, self._tokenizer
        before = [self._prefix(one) for one in prompts]
        tokens = tokenizer(
            [a + b for a, b in zip(before, texts, strict=True)], return_tensors="pt", padding=True,
            padding_side="right", add_special_tokens=False, return_offsets_mapping=True,
        )  # fmt: skip
        offsets, ids, mask = tokens.pop("offset_mapping"), tokens["input_ids"], tokens["attention_mask"]
        room = getattr(self._model.config, "max_position_embeddings", None) or ids.shape[1]
        if ids.shape[1] > room:
            return [self._long(a, b, room) for a, b in zip(prompts, texts, strict=True)]
        with torch.no_grad():
            logits = self._model(**tokens).logits[:, :-1].float()
        told = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
        border = torch.tensor([len(one) for one in before])[:, None]
        # The first token of all has nothing before it, so no model says how likely it was.
        counted = (offsets[:, 1:, 1] > border) & (mask[:, 1:] == 1) & (mask[:, :-1] == 1)
        sums, many = (told * counted).sum(1).tolist(), counted.sum(1).tolist()
        return [
            Said("ok" if n else "failed", None, self.name, None, int(seen), 0, value if n else None, n or None,
                 None if n else "the text has no token that could be scored")
            for value, n, seen in zip(sums, many, mask.sum(1).tolist(), strict=True)
        ]  # fmt: skip

    def read(self, prompts: Sequence[str], texts: Sequence[str]) -> list[Said]:
        """What it finds likeliest after each token of each text behind its prompt (``Said.reading``).

        ``before``: ids of what stands before the text; ``shown``: of the text, split by itself; ``predicted``: as many.
        """
        torch = self._torch
        how: dict[str, Any] = {"add_special_tokens": False}
        before = self._tokenizer([self._prefix(one) for one in prompts], **how)["input_ids"]
        shown = self._tokenizer(list(texts), **how)["input_ids"]
        rows = [a + b for a, b in zip(before, shown, strict=True)]
        room = getattr(self._model.config, "max_position_embeddings", None) or max(map(len, rows))
        fits = [at for at, row in enumerate(rows) if shown[at] and len(row) <= room]
        likeliest: dict[int, list[int]] = {}
        if fits:
            # Padding behind a text changes nothing before it, whatever a model does with positions.
            ids = torch.zeros((len(fits), max(len(rows[at]) for at in fits)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for line, at in enumerate(fits):
                ids[line, : len(rows[at])] = torch.tensor(rows[at])
                mask[line, : len(rows[at])] = 1
            with torch.no_grad():
                best = self._model(input_ids=ids, attention_mask=mask).logits.argmax(-1).tolist()
            likeliest = {
                at: line[len(before[at]) : len(rows[at])] for at, line in zip(fits, best, strict=True)
            }
        said: list[Said] = []
        for at, (a, b) in enumerate(zip(before, shown, strict=True)):
            if at in likeliest:
                told = {"before": a, "shown": b, "predicted": likeliest[at]}
                said.append(Said("ok", None, self.name, None, len(a) + len(b), reading=told))
            else:
                why = f"{len(rows[at])} tokens, the model takes {room}" if b else "the text has no token"
                said.append(Said("failed", None, self.name, detail=why))
        return said

    def _long(self, prompt: str, text: str, room: int) -> Said:
        """One text of a batch in which one is too long for the model."""
        length = len(self._tokenizer(self._prefix(prompt) + text, add_special_tokens=False)["input_ids"])
        if length > room:
            return Said("failed", None, self.name, detail=f"{length} tokens, the model takes {room}")
        return self.score([prompt], [text])[0]

    def _prefix(self, prompt: str) -> str:
        if self._before is not None:
            return self._before.replace("{prompt}", prompt)
        if not self._tokenizer.chat_template:
            return prompt
        messages = [{"role": "user", "content": prompt}]
        if self._system:
            messages.insert(0, {"role": "system", "content": self._system})
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
