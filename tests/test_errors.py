"""Errors are a product: their texts, their tree and their exit status are fixed here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spiritsafe import errors
from spiritsafe.errors import SpiritsafeError
from spiritsafe.ledger import Ledger, verify

DOCS = Path(__file__).parent.parent / "docs"


def tree(kind: type[SpiritsafeError]) -> list[type[SpiritsafeError]]:
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(descendant for child in children for descendant in tree(child))]


KINDS = tree(SpiritsafeError)

GOLDEN: dict[tuple[str, str | None, str | None], str] = {
    ("no campaign begins with 'x'", None, None): "no campaign begins with 'x'",
    (
        "the file ends inside a record",
        "logs/a.jsonl:7",
        None,
    ): "logs/a.jsonl:7: the file ends inside a record",
    ("no log format fits", "logs/a.txt", "name it with --format"): (
        "logs/a.txt: no log format fits\n  hint: name it with --format"
    ),
    ("nothing to read", None, "name a file, a folder or a glob"): (
        "nothing to read\n  hint: name a file, a folder or a glob"
    ),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("message", "where", "hint"), GOLDEN)
def test_every_error_says_where_what_and_what_next(
    kind: type[SpiritsafeError], message: str, where: str | None, hint: str | None
):
    error = kind(message, where=where, hint=hint)
    assert str(error) == GOLDEN[message, where, hint]
    assert (error.message, error.where, error.hint) == (message, where, hint)


def test_the_tree_drawn_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^ *[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    assert [name for name in drawn if hasattr(errors, name)] == [kind.__name__ for kind in KINDS]


def test_the_exit_status_of_every_error_is_documented():
    page = (DOCS / "exit-codes.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", page, flags=re.MULTILINE))
    assert documented == {kind.__name__: str(kind.exit_code) for kind in KINDS if kind is not SpiritsafeError}


def test_the_texts_of_a_broken_ledger(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.append("order", {"response": "observe"}, time=0)
        with pytest.raises(SpiritsafeError) as locked:
            Ledger(path)
    written = path.read_text()
    path.write_text(written.replace("observe", "suspend"))
    with pytest.raises(SpiritsafeError) as altered:
        verify(path)
    path.write_text(written[:-30])
    with pytest.raises(SpiritsafeError) as torn:
        verify(path)
    texts = [str(caught.value).replace(str(tmp_path), "") for caught in (locked, altered, torn)]
    assert (
        "\n".join(texts)
        == f"""\
/ledger.jsonl: another process is writing to this ledger
  hint: wait for it to end; readers need no lock
/ledger.jsonl:1: the chain breaks here: the content does not fit its hash
  hint: restore the ledger from a copy; do not repair it by hand
/ledger.jsonl:1: the last line is torn ({len(written) - 30} bytes, never acknowledged)
  hint: the next writer sets it aside; nothing acknowledged is lost"""
    )
