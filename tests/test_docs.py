"""The docs are true: pages, commands, links and tables agree with the program."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer.main

from spiritsafe import __version__, schema
from spiritsafe.cli import app
from spiritsafe.registry import extensions

ROOT = Path(__file__).parent.parent
ROOMS = ("sources", "signals", "simulate", "responses", "provenance")
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/**/*.md"), *ROOT.glob("demo/**/*.md")]
)
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in PAGES}


def commands(text: str) -> list[str]:
    """Each ``spiritsafe …`` command of a page: lines of code blocks, and code inside a sentence."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [code for code in [*lines, *re.findall(r"`([^`\n]+)`", prose)] if code.startswith("spiritsafe ")]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, made as the usual forges make them."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("room", ROOMS)
def test_every_extension_has_its_page_and_every_page_its_extension(room: str):
    pages = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs" / room).glob("*.md")}
    assert sorted(pages) == sorted(extensions(room))
    assert [name for name, text in pages.items() if name not in text.partition("\n")[0]] == []


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if commands(text)])
def test_every_command_in_the_docs_exists(page: str):
    verbs = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - click's type says nothing of it
    for command in commands(TEXTS[page]):
        words = shlex.split(command, comments=True)[1:]
        verb = next((word for word in words if not word.startswith("-")), None)
        if verb is None:
            continue
        assert verb in verbs, f"{page}: {command}"
        called = verbs[verb]
        for word in words[words.index(verb) + 1 :]:
            # `spiritsafe gateway --policy …` is a command without a further word; most groups are none.
            if not hasattr(called, "commands") or (called.invoke_without_command and word.startswith("-")):
                break
            # `spiritsafe console out/` is short for `spiritsafe console serve out/`.
            verb = word if word in called.commands else getattr(called, "usual", word)
            assert verb in called.commands, f"{page}: {command}"
            called = called.commands[verb]
        known = {"--help", *(option for param in called.params for option in param.opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= known, f"{page}: {command}"


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page: str):
    prose = re.sub(r"^```.*?^```", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (ROOT / page).parent / name if name else ROOT / page
        assert found.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), f"{page}: {target}"


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_named_in_code_exists(page: str):
    for name in re.findall(r"`((?:src|tests|docs|bench|demo)/[\w./-]+\.\w+)`", TEXTS[page]):
        # The page on adding an extension calls the file that its reader will write my_….
        assert "/my_" in name or (ROOT / name).exists(), f"{page}: {name}"


def test_the_columns_in_the_contract_are_the_columns_of_the_schema():
    rows = [
        f"| `{column.name}` | {column.kind} | {'yes' if column.required else ''} | "
        f"{', '.join(f'`{name}`' for name in column.otel)} |"
        for column in schema.COLUMNS
    ]
    text = TEXTS["docs/contract.md"]
    written = re.findall(
        r"^\| `\w+` \| (?:time|string|number|integer|boolean|strings) \|[^|]*\|[^|]*\|",
        text,
        flags=re.MULTILINE,
    )
    squeezed = [re.sub(r" +", " ", row) for row in written]
    expected = [re.sub(r" +", " ", row) for row in rows]
    assert squeezed == expected, "the table should read:\n" + "\n".join(rows)
    assert schema.SEMCONV_VERSION in text


def test_the_labels_in_the_contract_are_the_labels():
    listed = re.findall(
        r"^\* `(\w+)`: ",
        TEXTS["docs/contract.md"].partition("## Labels")[2].partition("\n## ")[0],
        flags=re.MULTILINE,
    )
    assert tuple(listed) == schema.LABELS


def test_the_readme_lists_every_source():
    assert [
        name for name in extensions("sources") if f"docs/sources/{name}.md" not in TEXTS["README.md"]
    ] == []


def test_the_signal_shown_to_contributors_is_a_signal():
    blocks = re.findall(
        r"^ *```python\n(.*?)^ *```", TEXTS["CONTRIBUTING.md"], flags=re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(textwrap.dedent(blocks[0]), names)  # noqa: S102 - the text is our own page
    shown = extensions("signals")["rubric_labelling"].module
    assert names["my_question"]().startswith("SELECT ")
    assert [name for name in dir(shown) if name.isupper() and name not in names] == []


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\S+)", TEXTS["CHANGELOG.md"], flags=re.MULTILINE)
    assert versions[0] == __version__
