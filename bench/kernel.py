"""Speed of the kernel: prompts a CPU-second, all features at once and MinHash alone, beside rensa and datasketch.

    python bench/kernel.py [--rounds 7] [--languages]

Prompts are made here, always the same: a mix of languages as a public service sees it (half English, a tenth in scripts
without spaces), with numbers, quotations, links and code. All candidates run in turn in each round, on one thread; the
table and ``bench/results/kernel.json`` give medians and the ratio to reading the same bytes from memory (``numpy.sum``).
The peers get ready-made shingles (the time to make them is given beside); ours works from the raw bytes.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from spiritsafe.features import FINGERPRINT_VERSION, _text, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = Path(__file__).with_name("results") / "kernel.json"

#: Language -> share of the prompts, common words, endings from which rarer words are made.
LANGUAGES: dict[str, tuple[float, str, str]] = {
    "English": (
        0.5,
        ("the of and to in a is that for it you with this on are be as have or from by at not we your can will write "
        "explain please give list what how why which make answer question example text code data"),
        "tion ing ed er ly ness ment able ive al ous est or ic ate",
    ),
    "Spanish": (0.06, "de la que el en y a los se del las un por con para como una su al lo más explica", "ción dad ando ar"),
    "French": (0.05, "de la le et les des en un du une que est pour qui dans ce il au pas sur écris été", "tion ment eur ique"),
    "German": (0.05, "der die und in den von zu das mit sich des auf für ist im dem nicht ein erkläre", "ung keit lich isch"),
    "Portuguese": (0.04, "de a o que e do da em um para é com não uma os no se na por mais escreva", "ção dade mente ar"),
    "Russian": (0.06, "и в не на что с по как это из за для он к но от вы объясни напиши шаг", "ость ение ный ать"),
    "Arabic": (0.03, "في من على أن إلى عن مع هذا كان ما لا هو كل بعد قد اكتب اشرح خطوة", "ات ون ية ها"),
    "Hindi": (0.03, "के है में की से को का और पर यह लिए एक ने हैं कि भी लिखिए समझाइए", "ता ना ओं कर"),
    "Korean": (0.03, "이 그 및 수 있는 대한 것을 에서 으로 하고 설명해 단계별 다음 글을 주세요", "에서 으로 하는 합니다"),
    "code": (0.05, "def return for in if else import self None True print len range x i = ( ) : [ ] #", "_id _name s 2"),
    "Chinese": (0.06, "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过", ""),
    "Japanese": (0.03, "のにはをたがでてとしれさあるいうなか日本人大年出一会上国中生説明してください次文章", ""),
    "Thai": (0.01, "กขคงจชดตถทนบปพมยรลวสหอะาิีุเแโใไ่้", ""),
}  # fmt: skip
UNSPACED = {"Chinese", "Japanese", "Thai"}
COMMON, MADE_UP, SLOT, MARK = 0.6, 0.3, 0.01, 0.08
"""How often a word is among the most common, gets an ending, is a slot, is followed by a mark (with the slots)."""
EXTRAS = (
    '"a quoted span of words"',
    "https://example.org/page?id=7",
    "`x = 1`",
    "2024-05-17",
    "12",
    "3.5",
    "a.b@example.org",
)


def prompt(dice: random.Random, language: str, size: int) -> str:
    """One prompt of ``size`` characters: common words by Zipf's law, rarer ones made up, and the odd slot."""
    _, common, endings = LANGUAGES[language]
    words = list(common) if language in UNSPACED else common.split()
    parts: list[str] = []
    length = 0
    while length < size:
        word = (
            words[min(int(dice.paretovariate(0.7)) - 1, len(words) - 1)]
            if dice.random() < COMMON
            else dice.choice(words)
        )
        if endings and dice.random() < MADE_UP:
            word += dice.choice(words)[-3:] + dice.choice(endings.split())
        turn = dice.random()
        if turn < SLOT:
            word = f" {dice.choice(EXTRAS)} "
        elif turn < MARK:
            word += "。" if language in UNSPACED else dice.choice([",", ".", ",", "?", ":", ".\n"])
        word += "" if language in UNSPACED else " "
        parts.append(word)
        length += len(word)
    return "".join(parts)[:size]


def prompts(number: int, size: int, language: str | None = None) -> list[str]:
    """The same ``number`` prompts every time."""
    dice = random.Random(size)
    names = [language] if language else list(LANGUAGES)
    shares = [LANGUAGES[name][0] for name in names]
    return [prompt(dice, name, size) for name in dice.choices(names, shares, k=number)]


def shingles(text: str) -> list[str]:
    """Three words in a row, as a peer's user would make them."""
    words = re.findall(r"[\u0e00-\u0eff\u3040-\u30ff\u4e00-\u9fff]|[^\W_]+", text.lower())
    return [" ".join(words[k : k + 3]) for k in range(max(1, len(words) - 2))]


def candidates(texts: list[str]) -> dict[str, tuple[int, Callable[[], object]]]:
    """Name -> (prompts it handles a call, what to time)."""
    column = _text.text(pa.array(texts, pa.string()))
    whole = np.frombuffer(bytes(column.data), np.uint8)
    few, fewer = texts[: len(texts) // 10], texts[: len(texts) // 100]
    ready, less = [shingles(text) for text in few], [shingles(text) for text in fewer]
    only = {"marks": False, "anchors": False, "prints": False, "minhash": True}
    out: dict[str, tuple[int, Callable[[], object]]] = {
        "memory read (numpy.sum)": (len(texts), lambda: int(whole.sum(dtype=np.uint64))),
        "all features": (len(texts), lambda: kernel.fingerprints(column, minhash=True)),
        "features of a sketch (no MinHash)": (len(texts), lambda: kernel.fingerprints(column)),
        "MinHash alone": (len(texts), lambda: kernel.fingerprints(column, **only)),
        "shingles in Python": (len(fewer), lambda: [shingles(text) for text in fewer]),
    }
    if peer := _peer("rensa"):
        out["rensa, ready-made shingles"] = (len(few), lambda: [_rensa(peer.RMinHash, row) for row in ready])
    if other := _peer("datasketch"):
        rows = [[one.encode() for one in row] for row in less]
        out["datasketch, ready-made shingles"] = (
            len(fewer),
            lambda: [_datasketch(other.MinHash, row) for row in rows],
        )
    return out


def _peer(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        print(f"{name} is not installed (pip install 'spiritsafe[bench]'): left out")
        return None


def _rensa(kind: Any, row: list[str]) -> Any:
    sketch = kind(num_perm=128, seed=42)
    sketch.update(row)
    return sketch.digest()


def _datasketch(kind: Any, row: list[bytes]) -> Any:
    sketch = kind(num_perm=128)
    sketch.update_batch(row)
    return sketch.digest()


def measure(texts: list[str], rounds: int) -> dict[str, float]:
    """Median CPU seconds a prompt, all candidates in turn in each round; the first round warms up."""
    tasks = candidates(texts)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name, (number, task) in tasks.items():
            begin = time.process_time()
            task()
            seconds[name].append((time.process_time() - begin) / number)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def main() -> int:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description="Speed of the kernel beside its peers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--languages", action="store_true", help="each language by itself, too")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "fingerprint_version": FINGERPRINT_VERSION,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "rounds": options.rounds,
        "prompts_per_cpu_second": {},
    }
    for size, number in ((500, 8000), (4000, 1500)):
        found = measure(prompts(number, size), options.rounds)
        floor = found["memory read (numpy.sum)"]
        print(f"\n{size} characters{'prompts per CPU-second':>44}{'memory reads':>16}")
        for name, each in found.items():
            print(f"  {name:<36}{1 / each:>18,.0f}{each / floor:>16,.1f}")
        result["prompts_per_cpu_second"][str(size)] = {name: round(1 / each) for name, each in found.items()}
        if options.languages:
            for language in LANGUAGES:
                column = _text.text(pa.array(prompts(number // 8, size, language), pa.string()))
                times: list[float] = []
                for _ in range(3):
                    begin = time.process_time()
                    kernel.fingerprints(column, minhash=True)
                    times.append((time.process_time() - begin) / column.rows)
                print(f"    {language:<34}{1 / statistics.median(times):>18,.0f}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
