"""Prompt text for simulated traffic: folders of ``<source>/data.jsonl`` and the pools drawn from them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

FILES = ("data.jsonl", "data.jsonl.gz")
TOPIC_CHARS = 400
TOPICS = 300


@dataclass(frozen=True)
class Pool:
    """Some prompts of a corpus, column-wise: row ``i`` is one prompt with its system text, answer and group.

    ``group`` codes what belongs together in the source (a conversation, a job's template, a forum); rows of a
    source that says nothing about it share one group.
    """

    prompts: Any
    systems: Any
    answers: Any
    group: Ints
    name: str = ""

    def __len__(self) -> int:
        return len(self.prompts)

    @cached_property
    def groups(self) -> int:
        """How many groups there are; codes are 0 … groups - 1."""
        return int(self.group.max()) + 1 if len(self) else 0

    @cached_property
    def by_group(self) -> tuple[Ints, Ints]:
        """Row numbers sorted by group, and where each group starts in them (``groups + 1`` offsets)."""
        order = np.argsort(self.group, kind="stable")
        return order, np.searchsorted(self.group[order], np.arange(self.groups + 1))

    @cached_property
    def topical(self) -> Ints:
        """Row numbers in an order where neighbours are about the same thing.

        A row's topic is the word of its first 400 characters whose document frequency is nearest to one in 300
        (on a log scale): rare enough to be about something, common enough to have company.
        """
        return _topical(self.prompts)

    @cached_property
    def said(self) -> Any:
        """Answers to put into templates: the prompts where there are none, empty text where one is missing."""
        return self.prompts if self.answers.null_count == len(self) else self.answers.fill_null("")

    @cached_property
    def told(self) -> Any:
        """The system texts that there are."""
        return self.systems.drop_null()

    def rows(self, keep: Ints) -> Pool:
        """The pool of the given rows, groups renumbered."""
        codes = np.unique(self.group[keep], return_inverse=True)[1].astype(np.int64)
        take = pa.array(keep)
        return Pool(
            self.prompts.take(take), self.systems.take(take), self.answers.take(take), codes, self.name
        )


@dataclass(frozen=True)
class Corpus:
    """Prompts by source and kind. Choose with :meth:`pool`; restrict with :meth:`only`."""

    pools: dict[tuple[str, str], Pool]
    _joined: dict[tuple[tuple[str, str], ...], Pool] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, sorted."""
        return tuple(sorted({source for source, _ in self.pools}))

    def only(self, sources: Iterable[str]) -> Corpus:
        """The corpus without the other sources; raises UsageError for a source it does not have."""
        wanted = set(sources)
        missing = wanted - set(self.sources)
        if missing:
            raise UsageError(
                f"no source called {', '.join(sorted(missing))}", hint=f"there are: {', '.join(self.sources)}"
            )
        return Corpus({key: pool for key, pool in self.pools.items() if key[0] in wanted})

    def has(self, *kinds: str) -> bool:
        """Whether any prompt's kind begins with one of ``kinds``."""
        return any(kind.startswith(kinds) for _, kind in self.pools)

    def pool(self, kinds: Sequence[str], sources: Sequence[str] = ()) -> Pool:
        """All prompts of the first of ``kinds`` (prefixes, in order of preference) that the corpus has.

        ``sources`` narrows the choice; given sources without any of the kinds, all their prompts are taken.
        Raises UsageError when nothing fits.
        """
        among = self.only(sources).pools if sources else self.pools
        for prefix in (*kinds, *(("",) if sources else ())):
            found = {key: pool for key, pool in among.items() if key[1].startswith(prefix)}
            if found:
                key = tuple(sorted(found))
                if key not in self._joined:
                    self._joined[key] = _joined(found)
                return self._joined[key]
        raise UsageError(
            f"the corpus has no prompts of kind {' or '.join(kinds)}",
            hint=f"kinds there: {', '.join(sorted({kind for _, kind in self.pools}))}",
        )


def shipped() -> Path:
    """The folder of the corpus that comes with the package; its sources and licences are in ``SOURCES.md`` there."""
    return Path(__file__).parent / "corpus"


def load_corpus(folder: str | Path | None = None, sources: Iterable[str] | None = None) -> Corpus:
    """Read ``folder/<source>/data.jsonl[.gz]``, only the named ``sources`` when given; no folder is the shipped one.

    Records have ``kind, prompt`` and, where known, ``system, response, session, meta``. Raises
    InputError for a missing folder or a broken line, UsageError for an unknown source.
    """
    root = shipped() if folder is None else Path(folder)
    wanted = None if sources is None else set(sources)
    pools: dict[tuple[str, str], Pool] = {}
    seen: set[str] = set()
    for path in sorted(path for name in FILES for path in root.glob(f"*/{name}")):
        if wanted is None or path.parent.name in wanted:
            seen.add(path.parent.name)
            pools.update(_read(path))
    if wanted is not None and wanted - seen:
        raise UsageError(f"no source called {', '.join(sorted(wanted - seen))}", where=str(root))
    if not pools:
        raise InputError("no corpus here", where=str(root), hint="expected folders with a data.jsonl in each")
    return Corpus(pools)


def _read(path: Path) -> dict[tuple[str, str], Pool]:
    opener = gzip.open if path.suffix == ".gz" else open
    kinds: dict[str, list[tuple[str, str | None, str | None, str]]] = {}
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                row = (record["prompt"], record.get("system"), record.get("response"), _group(record))
            except (ValueError, KeyError) as error:
                raise InputError(f"broken record: {error!r}", where=f"{path}:{number}") from error
            kinds.setdefault(record.get("kind", "plain"), []).append(row)
    return {(path.parent.name, kind): _pool(path.parent.name, rows) for kind, rows in kinds.items()}


def _group(record: dict[str, Any]) -> str:
    meta = record.get("meta") or {}
    for value in (record.get("session"), meta.get("template"), meta.get("sub"), meta.get("pattern")):
        if value:
            return str(value)
    return (record.get("system") or "")[:200]


def _pool(name: str, rows: list[tuple[str, str | None, str | None, str]]) -> Pool:
    prompts, systems, answers, groups = zip(*rows, strict=True)
    codes = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)
    text = pa.string()
    return Pool(pa.array(prompts, text), pa.array(systems, text), pa.array(answers, text), codes, name)


def _joined(found: dict[tuple[str, str], Pool]) -> Pool:
    if len(found) == 1:
        return next(iter(found.values()))
    pools = [found[key] for key in sorted(found)]
    base = np.cumsum([0, *(pool.groups for pool in pools)])
    return Pool(
        pa.concat_arrays([pool.prompts for pool in pools]),
        pa.concat_arrays([pool.systems for pool in pools]),
        pa.concat_arrays([pool.answers for pool in pools]),
        np.concatenate([pool.group + start for pool, start in zip(pools, base, strict=False)]),
        "+".join(dict.fromkeys(pool.name for pool in pools)),
    )


def _topical(prompts: Any) -> Ints:
    heads = pc.utf8_lower(pc.utf8_slice_codeunits(prompts, 0, TOPIC_CHARS))
    words = pc.split_pattern_regex(heads, r"[^\p{L}]+")
    row = np.asarray(pc.list_parent_indices(words))
    coded = pc.list_flatten(words).dictionary_encode()
    code = np.asarray(coded.indices).astype(np.int64)
    frequency = np.bincount(code, minlength=len(coded.dictionary))
    length = np.asarray(pc.utf8_length(coded.dictionary))
    distance = np.abs(np.log(frequency / max(1.0, len(prompts) / TOPICS)))
    distance[(length < 4) | (frequency < 2)] += 50.0
    topic = np.zeros(len(prompts), dtype=np.int64)
    order = np.lexsort((distance[code], row))
    first = np.unique(row[order], return_index=True)
    topic[first[0]] = code[order][first[1]]
    return np.argsort(topic, kind="stable")
