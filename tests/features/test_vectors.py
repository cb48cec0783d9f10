"""Fingerprints are fixed: the same text gives the same numbers on every machine and in every release.

``vectors.json`` holds them. Write it anew with ``python tests/features/test_vectors.py``; that is refused while a
fingerprint differs and FINGERPRINT_VERSION has not been raised.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from spiritsafe import features
from spiritsafe.features import _text, kernel, lexicon

FILE = Path(__file__).with_name("vectors.json")

TEXTS = {
    "empty": "",
    "blank": " \n\t ",
    "marks only": "?! … — 🙂",
    "english": "Summarise the following article in 3 sentences for a busy reader, and name its main source.",
    "long english": "Read the report twice. Then explain, step by step, how each figure was obtained. " * 12,
    "slots": 'Rewrite "the old text" and `x = 1` (see https://example.org/a?b=1, mail a.b@example.org) 12 times.',
    "fence": "What does this print?\n```py\nfor i in range(3):\n    print(i)\n```\nAnswer in one line.",
    "apostrophes": "It's the dogs' dinner; isn't 'a fine thing' what she'd say?",
    "spanish": "Escribe una carta formal de 200 palabras a la biblioteca para pedir la renovación del préstamo.",
    "french": "Résume le texte suivant en trois phrases, puis donne « le titre » qui conviendrait à un journal local.",
    "german": "Übersetze den Absatz ins Englische und erkläre Schritt für Schritt, warum du „so“ entschieden hast.",
    "portuguese": "Compare as duas respostas e diga qual delas é melhor, com uma nota de 1 a 10.",
    "polish": "Napisz krótkie opowiadanie o żółtej łódce, która płynie przez noc i nie gubi drogi.",
    "turkish": "Aşağıdaki soruyu yanıtla ve nasıl düşündüğünü adım adım anlat.",
    "vietnamese": "Hãy giải thích từng bước cách tính diện tích của một hình tròn có bán kính 5 cm.",
    "russian": "Ёлка стоит в углу. Объясни шаг за шагом, почему иголки пожелтели, и приведи «три причины».",
    "greek": "Γράψε μια σύντομη ιστορία για έναν φάρο και τον φύλακά του, με λιγότερες από 150 λέξεις.",
    "arabic": "اشرح خطوة بخطوة كيف تعمل مضخة الماء، ثم اكتب ٣ أمثلة من الحياة اليومية.",
    "hebrew": "כתוב סיכום קצר של המאמר הבא והסבר מה חשב הכותב.",
    "hindi": "इस अनुच्छेद का सारांश लिखिए और चरण दर चरण समझाइए कि आपने यह उत्तर कैसे चुना।",
    "korean": "다음 글을 세 문장으로 요약하고 추론 과정을 단계별로 설명해 주세요.",
    "chinese": "请一步一步地解释“机器学习”的基本概念，并举出3个例子，最后给出完整的推理过程。",
    "japanese": "次の文章を要約し、「なぜそう考えたか」を段階的に説明してください。ｶﾀｶﾅも使ってよい。",
    "thai": "กรุณาสรุปบทความต่อไปนี้และอธิบายเหตุผลทีละขั้นตอน",
    "mixed": "Translate 机器学习 into Русский and ｆｕｌｌ-ｗｉｄｔｈ ＡＢＣ１２３ please",
    "decomposed": "Re\u0301sume\u0301 of the cafe\u0301 \u1112\u1161\u11ab",
    "beyond": "𝐁𝐨𝐥𝐝 and 𠀀𠀁𠀂 and \U000e0041 tags",
}
BROKEN = {"broken": "61ff62c3286320e28228f0288cbc20edа0".replace("а", "a"), "nul": "610062"}


def _bytes() -> dict[str, bytes]:
    return {k: v.encode() for k, v in TEXTS.items()} | {k: bytes.fromhex(v) for k, v in BROKEN.items()}


def fingerprints() -> dict[str, dict[str, Any]]:
    """What the kernel makes of each text now."""
    texts = _bytes()
    column = pa.array(list(texts.values()), pa.binary())
    found = kernel.fingerprints(_text.text(column), minhash=True)
    out: dict[str, dict[str, Any]] = {}
    for row, name in enumerate(texts):
        out[name] = {
            "counts": found.counts[row].tolist(),
            "exact": f"{found.exact[row]:016x}",
            "skeleton": f"{found.skeleton[row]:016x}",
            "item": f"{found.item[row]:016x}",
            "marks": f"{found.marks[row]:016x}",
            "anchors": [f"{a:016x}" for a in found.anchors[found.ends[row] : found.ends[row + 1]]],
            "projection": found.projection[row].tobytes().hex(),
            "minhash": hashlib.sha256(found.signatures[row].astype("<u4").tobytes()).hexdigest(),
            "bands": hashlib.sha256(found.bands[row].astype("<u8").tobytes()).hexdigest(),
        }
    return out


def test_fingerprints_are_those_of_their_version():
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert kept["version"] == features.FINGERPRINT_VERSION, "a new version needs new vectors: run this file"
    now = fingerprints()
    for name, vector in kept["vectors"].items():
        for field, value in vector.items():
            assert now[name][field] == value, f"{field} of {name!r} changed: raise FINGERPRINT_VERSION"


def digest() -> str:
    """SHA-256 over the lexicon's rules: they decide the marks, so they are part of the fingerprint."""
    return hashlib.sha256(repr(lexicon.rules()).encode()).hexdigest()


def test_the_lexicon_is_that_of_its_version():
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    assert kept["lexicon"] == digest(), "the lexicon changed: raise FINGERPRINT_VERSION and run this file"


def test_all_texts_have_a_vector():
    assert set(json.loads(FILE.read_text(encoding="utf-8"))["vectors"]) == set(_bytes())


if __name__ == "__main__":
    vectors = fingerprints()
    new = {"version": features.FINGERPRINT_VERSION, "lexicon": digest(), "vectors": vectors}
    old: dict[str, Any] = (
        json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"version": 0, "vectors": {}}
    )
    same = old.get("lexicon", digest()) == digest()
    same = same and all(vectors.get(name) == vector for name, vector in old["vectors"].items())
    if not same and old["version"] == new["version"] and "--unreleased" not in sys.argv:
        sys.exit(
            "a fingerprint changed: raise FINGERPRINT_VERSION (or --unreleased, if nobody has stored one yet)"
        )
    FILE.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
