"""Measure the role signals, split by source: on which share of its prompts does each signal speak.

``python bench/roles.py --corpus DIR`` reads ``DIR/<source>/data.jsonl`` (records with ``prompt``, ``kind`` and perhaps
``system``) and writes ``bench/results/roles.json``: shares by source and kind, and the recall of the paraphrases in
``tests/signals/paraphrases.json`` by split, role and language. No text of a corpus is written.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe import registry, schema
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.features import FINGERPRINT_VERSION, sketch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "roles.json"
PARAPHRASES = ROOT / "tests" / "signals" / "paraphrases.json"
BATCH = 16_384

#: Sources whose prompts, or whose shares, steered the rules. All others were only counted.
BUILT_ON = frozenset((
    "aider_history", "alpaca_answer", "alpaca_gen", "arena_hard", "autoif", "awesome_chatgpt_prompts",
    "bitext_support", "camel_ai_society", "cot_gsm8k", "evol_code", "fabric_patterns", "fireact_react",
    "gorilla_apibench", "hh_rlhf", "lawyer_llama_zh", "lobe_agents", "meeting_summaries",
    "mtbench_judging", "own_product_synth", "reddit_questions", "self_instruct",
    "spamassassin_email_jobs", "tau_airline", "toolalpaca",
))  # fmt: skip
#: Counted only, yet their template is that of a source above: no independent evidence of recall.
KIN = {"codealpaca": "alpaca_gen", "mixtral_self_instruct": "alpaca_gen", "wizardlm_evol": "evol_code"}

_KINDS: dict[schema.Kind, Any] = {
    "time": pa.int64(), "string": pa.string(), "number": pa.float64(), "integer": pa.int64(),
    "boolean": pa.bool_(), "strings": pa.list_(pa.string()),
}  # fmt: skip


def batches(corpus: Path) -> Iterator[tuple[str, list[str], list[str | None], list[str]]]:
    """(source, prompts, systems, kinds), at most ``BATCH`` records each, by source."""
    for path in sorted(corpus.glob("*/data.jsonl")):
        held: list[tuple[str, str | None, str]] = []
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                held.append((_text(record["prompt"]), record.get("system"), str(record.get("kind", ""))))
                if len(held) == BATCH:
                    yield path.parent.name, *_columns(held)
                    held = []
        if held:
            yield path.parent.name, *_columns(held)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _columns(rows: list[tuple[str, str | None, str]]) -> tuple[list[str], list[str | None], list[str]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def hits(engine: DuckDB, prompts: Sequence[str], systems: Sequence[str | None]) -> dict[str, list[int]]:
    """Signal id -> the rows on which it speaks."""
    given = {"prompt": pa.array(prompts, pa.string()), "system": pa.array(systems, pa.string())}
    columns = [given.get(c.name, pa.nulls(len(prompts), _KINDS[c.kind])) for c in schema.COLUMNS]
    table = pa.Table.from_batches([sketch(pa.RecordBatch.from_arrays(columns, names=list(schema.NAMES)))])
    engine.register("sketch", table.append_column("row", pa.array(range(len(prompts)), pa.int64())))
    return {
        name: engine.table(str(signal.function())).column("subject").to_pylist()
        for name, signal in registry.extensions("signals").items()
    }


def _extraction() -> set[str]:
    return {name for name, one in registry.extensions("signals").items() if one.module.KIND == "role"}


def sources(engine: DuckDB, corpus: Path) -> dict[str, Any]:
    """Shares by source and, inside it, by kind. ``any_role`` counts rows with at least one extraction role."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    spoke: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    roles = _extraction()
    for source, prompts, systems, kinds in batches(corpus):
        rows[source].update(kinds)
        found = hits(engine, prompts, systems)
        found["any_role"] = sorted({row for name in roles for row in found[name]})
        for name, subjects in found.items():
            spoke[source][name].update(kinds[row] for row in subjects)
    return {
        source: {
            "use": "build" if source in BUILT_ON else f"kin of {KIN[source]}" if source in KIN else "report",
            "rows": total.total(),
            "any_role": _share(spoke[source]["any_role"].total(), total.total()),
            "signals": {
                name: _share(count.total(), total.total())
                for name, count in sorted(spoke[source].items())
                if count and name != "any_role"
            },
            "kinds": {
                kind: {"rows": n, "any_role": _share(spoke[source]["any_role"][kind], n)}
                for kind, n in sorted(total.items())
            },
        }
        for source, total in sorted(rows.items())
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 5)


def paraphrases(engine: DuckDB) -> dict[str, Any]:
    """[found, of] by split, role and language; under ``innocent`` found means that no role spoke."""
    rows = json.loads(PARAPHRASES.read_text("utf-8"))["prompts"]
    found = hits(engine, [row["text"] for row in rows], [None] * len(rows))
    accused = {index for name in _extraction() for index in found[name]}
    out: dict[str, Any] = {}
    for index, row in enumerate(rows):
        innocent = row["role"] == "innocent"
        right = index not in accused if innocent else index in found[row["role"]]
        split = out.setdefault(row["split"], {"role": {}, "language": {}})
        for by, key in (("role", row["role"]), *(() if innocent else (("language", row["lang"]),))):
            pair = split[by].setdefault(key, [0, 0])
            pair[0] += right
            pair[1] += 1
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, write the results."""
    parser = argparse.ArgumentParser(description="measure the role signals, split by source")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of <source>/data.jsonl")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work, DuckDB(Path(work), memory="2GB", threads=2) as engine:
        result: dict[str, Any] = {
            "fingerprint_version": FINGERPRINT_VERSION,
            "sources": sources(engine, options.corpus),
            "paraphrases": paraphrases(engine),
        }
    for name, one in result["sources"].items():
        top = sorted(one["signals"].items(), key=lambda pair: -pair[1])[:3]
        said = ", ".join(f"{signal} {share:.1%}" for signal, share in top)
        print(f"{name:26}{one['use']:22}{one['rows']:7}{one['any_role']:8.1%}  {said}")
    for split, by in result["paraphrases"].items():
        print(split, {role: f"{a}/{b}" for role, (a, b) in by["role"].items()})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
