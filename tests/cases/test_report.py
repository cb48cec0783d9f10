"""The dossier says what a reader must know, in both forms, and no text of a case becomes anything but text."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import fromstring

import pypdfium2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from spiritsafe.attest import keys
from spiritsafe.cases import folder, loss, opinion, prices, report, seal
from spiritsafe.cases._dossier.blocks import Picture

if TYPE_CHECKING:
    from spiritsafe.cases._dossier.blocks import Dossier

NOW = 1_800_000_000_000_000
ANNA = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
BOOK = Path(__file__).parents[2] / "docs" / "examples" / "prices.toml"
BAD = '</p><script>alert(1)</script><para>&amp;{{x}}{% if %}<font name="x">\u202e]]>'
HARD = f"{BAD} 两个帐号 ひらがな 한국어 עברית عربي 🎉 {'x' * 400}"


def usage() -> dict[str, Any]:
    row = {
        "campaign_id": "c",
        "account_id": "a",
        "model": "teacher-large",
        "relation": None,
        "exchanges": 100,
        "input": 10**6,
        "cached": 0,
        "output": 2 * 10**6,
        "unknown_input_chars": 0,
        "unknown_output_chars": 0,
        "membership": 0.8,
    }
    return {"schema": 1, "rows": [row, {**row, "account_id": "b", "relation": "distillation-licence"}]}


def finding() -> dict[str, Any]:
    test = {
        "test": "twins",
        "tier": "A",
        "verdict": "supports derivation",
        "null_hypothesis": "coins are independent",
        "p_value": 0.0,
        "log10_p": -412.3,
        "holm_p": 0.0,
        "holm_log10_p": -412.0,
        "power": 0.9,
        "n": 30,
        "defeaters": ["paraphrase"],
    }
    return {
        "suspect": "suspect-1", "teacher": "ours", "verdict": "supports derivation", "campaigns": ["c-1"], "alpha": 0.01,
        "commitments_checked": 7, "sound": {"quiet": True, "why": []}, "findings": [test],
        "alternatives": ["somebody else published the outputs"],
    }  # fmt: skip


def build(where: Path, result: dict[str, Any], word: str = "plain") -> Path:
    """A case with something of each kind; ``word`` is in every text that a stranger or a person may write."""
    case = where / "case"
    folder.create(
        case,
        case_id="case-1",
        title=f"Title {word}",
        claim=f"Claim {word}",
        by="anna",
        why=f"why {word}",
        now=NOW,
    )
    accused = [one["campaign_id"] for one in result["campaigns"] if one["label"] == "campaign"]
    about = {
        "campaigns": [{"id": name, "label": "campaign", "exchanges": 9} for name in accused],
        "records": 12, "settings": "ab" * 32,
    }  # fmt: skip
    folder.add(
        case, "campaign", by="anna", why=f"found {word}", now=NOW, about=about, lines={"facts.jsonl": [b"{}"] * 12},
        files={"campaigns.json": json.dumps(result).encode()},
    )  # fmt: skip
    told = finding() | {"suspect": f"suspect {word}"}
    folder.add(
        case, "finding", by="ben", why="tested", now=NOW, about={"suspect": f"suspect {word}", "verdict": told["verdict"]},
        files={"result.json": json.dumps(told).encode()},
    )  # fmt: skip
    opinion.add(
        case,
        about=accused[0],
        judgement="disagree",
        text=f"I doubt it: {word}",
        by=f"chiara {word}",
        why="asked",
        now=NOW,
        key=ANNA,
    )
    own = prices.read(BOOK)
    loss.add(
        case, usage(), loss.estimate(usage(), own, seed=0), BOOK, by="anna", why="for the claim", now=NOW
    )
    order = {"id": "o-1", "campaign": accused[0], "response": "suspend", "scope": "accounts"}
    whole = {
        "order_id": "o-1", "accounts": ["a", "b"], "start": "2027-01-15T08:00:00Z", "expires": "2027-02-15T08:00:00Z",
        "approvals": [{"by": f"dora {word}"}],
    }  # fmt: skip
    folder.add(
        case, "orders", by="anna", why="in force", now=NOW, about={"orders": [order]},
        files={"orders.json": json.dumps({"orders": [whole], "withheld": {"o-1": f"needs 2 {word}"}}).encode()},
    )  # fmt: skip
    folder.add(
        case,
        "sighting",
        by="anna",
        why=f"seen {word}",
        now=NOW,
        about={"file": "s.json"},
        files={"s.json": b"{}"},
    )
    folder.add(
        case,
        "appeal",
        by="anna",
        why="letter",
        now=NOW,
        about={"reference": "AP-1"},
        files={"letter.txt": b"no"},
    )
    return case


def bundle(case: Path, out: Path) -> tuple[Path, Any]:
    done = seal.seal(
        case,
        out,
        [ANNA],
        by="anna",
        why="court",
        now=NOW + 10,
        code={"spiritsafe": "0.1.0", "source": "cd" * 32},
    )
    return done.path, done.checked


def pages(data: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(data)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


SAYS = (
    "What was found", "340 accounts", "Null", "Innocent explanations tried", "What would clear", "does not fit", "What was taken",
    "must not be added", "Licensed use, not counted", "distillation-licence", "fictional", "Opinions", "I doubt it", "signed",
    "Measures", "suspend", "What this does not show", "Chain of custody", "0001-campaign/facts.jsonl", "How to contest",
    "spiritsafe case verify", "What the words mean", "somebody else published", "paraphrase", "10 to the power of -412",
    "not the chance of innocence", "AP-1",
)  # fmt: skip


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).lower()


def test_both_forms_say_what_a_reader_must_know(result: dict[str, Any], tmp_path: Path):
    entry = copy.deepcopy(result)
    entry["campaigns"][0]["headline"] = "340 accounts share out one job."
    path, checked = bundle(build(tmp_path, entry), tmp_path / "out.tar")
    dossier = report.of_bundle(path, checked)
    page, paper = report.html(dossier), report.pdf(dossier)
    told = flat(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]))
    printed = flat(" ".join(pages(paper)))
    for said in (*SAYS, keys.public(ANNA), "checked and holds"):
        assert said.lower() in told, said
        assert said.lower().replace(" ", "") in printed.replace(" ", ""), said
    roots = [one.root for one in checked.parts]
    assert all(root in page and root in printed.replace(" ", "") for root in roots)
    assert report.html(dossier) == page
    assert report.pdf(dossier) == paper
    assert "default-src &#39;none&#39;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_a_draft_says_that_it_is_one(result: dict[str, Any], tmp_path: Path):
    case = build(tmp_path, result)
    told = flat(report.html(report.of_case(folder.open_case(case))))
    assert "it is not sealed" in told
    assert "ledger head" in told
    folder.create(tmp_path / "bare", case_id="b", title="Bare", claim="", by="a", why="b", now=NOW)
    bare = report.of_case(folder.open_case(tmp_path / "bare"))
    assert "nothing has been added" in flat(report.html(bare))
    assert pages(report.pdf(bare))


def test_what_is_withheld_is_said(result: dict[str, Any], tmp_path: Path):
    path, _ = bundle(build(tmp_path, result), tmp_path / "out.tar")
    handed = tmp_path / "handed.tar"
    seal.hand_on(
        path,
        handed,
        withhold=["*campaigns.json", "*opinion.json", "*loss.json", "*result.json", "*orders.json"],
        shows=lambda *_: False,
    )
    checked = seal.check(handed, [keys.public(ANNA)], now=NOW + 20)
    dossier = report.of_bundle(handed, checked)
    for text in (
        flat(re.sub(r"<[^>]+>", " ", report.html(dossier))),
        flat(" ".join(pages(report.pdf(dossier)))),
    ):
        assert "the result of the scan is withheld" in text
        assert "the estimate is withheld" in text
        assert "the result of this test is withheld" in text
        assert "its evidence is withheld" in text
        assert "17 records and files of 6 parts were withheld" in text
        assert "i doubt it" not in text


def one(result: dict[str, Any]) -> dict[str, Any]:
    """The result with its first campaign only: the others would be set the same way."""
    return {**result, "campaigns": result["campaigns"][:1]}


def hostile(value: Any) -> Any:
    """The same result with hostile text wherever there is text; ids and labels stay."""
    if isinstance(value, dict):
        keep = {"campaign_id", "label", "kind", "fits", "start", "first_seen", "last_seen", "response"}
        return {key: one if key in keep else hostile(one) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one) for one in value]
    return HARD if isinstance(value, str) else value


@pytest.mark.parametrize("word", [BAD, HARD])
def test_hostile_text_stays_text(result: dict[str, Any], tmp_path: Path, word: str):
    path, checked = bundle(build(tmp_path, hostile(one(result)), word), tmp_path / "out.tar")
    dossier = report.of_bundle(path, checked)
    page = report.html(dossier)
    assert "<script" not in page
    assert "<para>" not in page
    assert "\u202e" not in page
    assert len(re.findall("</title>", page.partition("<body>")[0])) == 1
    printed = " ".join(pages(report.pdf(dossier)))
    assert "<script>alert(1)</script>" in printed.replace("\r\n", "")
    assert "\u202e" not in printed


def test_no_letter_is_set_outside_its_page(result: dict[str, Any], tmp_path: Path):
    for name, told, word in (("plain", one(result), "plain"), ("hard", hostile(one(result)), HARD)):
        (tmp_path / name).mkdir()
        path, checked = bundle(build(tmp_path / name, told, word), tmp_path / name / "out.tar")
        document = pypdfium2.PdfDocument(report.pdf(report.of_bundle(path, checked)))
        for page in document:
            width, height = page.get_size()
            text = page.get_textpage()
            for rect in range(text.count_rects()):
                left, bottom, right, top = text.get_rect(rect)
                assert 30 <= left <= right <= width - 30, (
                    name,
                    text.get_text_bounded(left, bottom, right, top),
                )
                assert 20 <= bottom <= top <= height - 20
        document.close()


def test_every_shape_of_a_picture_is_drawn_on_paper(result: dict[str, Any], tmp_path: Path):
    dossier: Dossier = report.of_case(folder.open_case(build(tmp_path, result)))
    figures = [
        block.figure for section in dossier.sections for block in section.blocks if isinstance(block, Picture)
    ]
    assert len(figures) > 8
    names: set[str] = set()
    for figure in figures:
        for one in fromstring(str(figure.broad)).iter():  # noqa: S314 - our own
            names.add(one.tag.rpartition("}")[2])
            # The letters of a path that ``drawing`` knows; another would be lost without a word.
            assert not re.search(r"[A-Zac-gi-uw-y]", re.sub("[MLHVZ]", "", one.attrib.get("d", "")))
    assert names <= {"svg", "title", "desc", "rect", "line", "circle", "path", "text", "g"}
