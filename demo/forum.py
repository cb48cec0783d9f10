"""A forum of three providers on this machine: a campaign that none sees alone is found, shared, disputed and taken back.

    python demo/forum.py [--out DIR]

Everything runs as it would between strangers: a hub in a process of its own, key holders in theirs, and for each provider a
folder with its key, its log and its settings. What a provider does is a command, shown as it is given. Logs are simulated: one
campaign's accounts are dealt out to the three, each of which has innocent customers of its own. Ends with 1 when a step does
not do what it says.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from spiritsafe.simulate import Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

NAMES: tuple[str, ...] = ("aldebaran", "bellatrix", "capella")
FORUM, ROUND = "forum.example/log", "2026-10"
ACCOUNTS, RATE, SEED = 12, 8.0, 20261011
INNOCENT = (
    ("chat_users", 240, 5.0), ("viral_prompt", 40, 4.0), ("nightly_batch", 6, 60.0), ("byo_key_app", 30, 5.0),
    ("reseller", 12, 25.0), ("llm_judge_product", 3, 80.0), ("university_class", 25, 4.0), ("agent_fleet", 8, 25.0),
    ("ci_bots", 3, 40.0), ("translation_shop", 3, 60.0), ("explainability_capture", 3, 40.0),
)  # fmt: skip
_LOCAL = ("account_id", "organization_id", "exchange_id", "payment_id", "device_id", "api_key_id")
"""Names that a simulated world gives by itself: two providers must not have the same by accident."""
_PATIENCE = 600.0
"""Seconds to wait for a server that lives; on a busy machine four of them start slowly."""


class Failed(Exception):  # noqa: N818 - reads as the fact it states
    """A step did not do what it says."""


@dataclass
class Provider:
    """One provider: its folder, and which of its accounts are the campaign's."""

    name: str
    folder: Path
    guilty: set[str] = field(default_factory=set)
    pseudonym: str = ""
    identity: str = ""


@dataclass
class Stage:
    """Where the play is shown, and how commands are given."""

    console: Console
    out: Path
    commands: int = 0
    servers: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)
    """What runs beside the play, by its log."""

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until it holds. Raises Failed: a server ended, or too long passed."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except (httpx.HTTPError, Failed):
                pass
            for log, server in self.servers.items():
                if server.poll() is not None:
                    raise Failed(f"{what}: what writes {log} has ended\n{log.read_text('utf-8')[-2000:]}")
            time.sleep(0.3)
        raise Failed(f"waited in vain: {what}")

    @contextmanager
    def beside(self, folder: Path, name: str, end: signal.Signals, *words: str) -> Generator[None]:
        """A command that runs in ``folder`` until it gets the signal ``end``."""
        path = folder / f"{name}.log"
        with path.open("wb") as log:
            server = subprocess.Popen([*_program(), *words], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
            self.servers[path] = server
            try:
                yield
            finally:
                del self.servers[path]
                server.send_signal(end)
                server.wait(timeout=_PATIENCE)

    def scene(self, title: str, text: str) -> None:
        """A new part of the play."""
        self.console.print()
        self.console.print(Panel(text, title=title, title_align="left", border_style="cyan"))

    def say(self, text: str, style: str = "") -> None:
        """One line of what came of it."""
        self.console.print(f"  {text}", style=style, highlight=False, markup=False, soft_wrap=True)

    def run(self, who: Provider | None, *words: object, show: bool = True) -> Any:
        """One command in a provider's folder; what it printed as JSON. Raises Failed."""
        given = [str(word) for word in words]
        if show:
            place = who.name if who else "operator"
            self.console.print(
                f"[bold]{place}[/] [dim]$[/] spiritsafe {' '.join(given)}", highlight=False, soft_wrap=True
            )
        self.commands += 1
        done = subprocess.run(
            [*_program(), *given, "--json"],
            cwd=who.folder if who else self.out,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"spiritsafe {' '.join(given)}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None

    def expect(self, holds: object, what: str) -> None:
        """Go on only if it holds, and say so."""
        if not holds:
            raise Failed(f"this should be so, and is not: {what}")
        self.say(f"✓ {what}", "green")


def _program() -> list[str]:
    return [sys.executable, "-c", "from spiritsafe.cli import main; main()"]


def logs(stage: Stage, providers: list[Provider]) -> None:
    """Simulate the campaign once and deal its accounts out; give each provider customers of its own."""
    corpus = load_corpus(None)
    campaign = Population("A1", {"accounts": ACCOUNTS * len(providers), "rate": RATE})
    made = simulate(Plan((campaign,), corpus, days=1.0), stage.out / "worlds" / "campaign", seed=SEED)
    whole = _renamed(pq.read_table(made.log), "campaign")
    names = pc.unique(whole["account_id"]).to_pylist()
    for number, one in enumerate(providers):
        calm = Plan(
            tuple(Population(name, {"accounts": many, "rate": rate}) for name, many, rate in INNOCENT),
            corpus,
            days=1.0,
        )
        world = simulate(calm, stage.out / "worlds" / one.name, seed=SEED + 1 + number)
        one.guilty = set(names[number :: len(providers)])
        mine = whole.filter(pc.is_in(whole["account_id"], pa.array(sorted(one.guilty))))
        table = pa.concat_tables([_renamed(pq.read_table(world.log), one.name), mine]).sort_by("time")
        pq.write_table(table, one.folder / "log.parquet")
        accounts = pc.count_distinct(table["account_id"]).as_py()
        stage.say(
            f"{one.name}: {table.num_rows:,} exchanges of {accounts:,} accounts, {len(one.guilty)} of them the campaign's"
        )


def _renamed(table: pa.Table, world: str) -> pa.Table:
    for name in _LOCAL:
        renamed = pc.binary_join_element_wise(table[name], f"-{world}", "", null_handling="emit_null")
        table = table.set_column(table.schema.get_field_index(name), name, renamed)
    return table


@contextmanager
def hub(stage: Stage, port: int) -> Generator[dict[str, Any]]:
    """The hub, made and served until the end."""
    made = stage.run(None, "hub", "init", "hub", "--origin", FORUM, "--title", "Forum of the demo")
    with stage.beside(stage.out, "hub", signal.SIGTERM, "hub", "serve", "hub", "--port", str(port)):
        stage.until(lambda: httpx.get(f"http://127.0.0.1:{port}/forum/").is_success, "the hub answers")
        yield made


@contextmanager
def holding(stage: Stage, one: Provider) -> Generator[None]:
    """A provider's key holder, in a process of its own."""
    stage.console.print(f"[bold]{one.name}[/] [dim]$[/] spiritsafe share match hold &", highlight=False)
    with stage.beside(one.folder, "hold", signal.SIGINT, "share", "match", "hold", "--every", "0.3"):
        yield


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


SETTINGS = """[member]
key = "member.key"
ledger = "ledger.jsonl"

[hub]
url = "http://127.0.0.1:{port}"
root = "{root}"
collection = "signals"
log_key = "{log_key}"

[receive]
folder = "forum"
review_within = "14d"

[[receive.use]]
members = ["*"]
kinds = ["template"]
use = "{use}"
"""
USES: dict[str, str] = dict(zip(NAMES, ("lookup", "lookup", "observe"), strict=True))


def enrol(stage: Stage, providers: list[Provider], made: dict[str, Any], port: int) -> None:
    """Each provider makes its own key and enrols with an invitation; all check each other's keys."""
    for one in providers:
        text = SETTINGS.format(port=port, root=made["root"], log_key=made["log_key"], use=USES[one.name])
        (one.folder / "share.toml").write_text(text, "utf-8")
        stage.run(one, "orders", "key", "member.key")
        code = stage.run(None, "hub", "invite", "hub", "--role", "member", "--role", "keyholder", show=False)
        member = stage.run(one, "share", "enrol", code["code"], show=False)
        stage.say(f"{one.name} is {member['pseudonym']} to the others")
        one.pseudonym, one.identity = member["pseudonym"], member["identity"]
    for one in providers:
        stage.run(one, "share", "match", "trust", "--accept", show=one is providers[0])


def alone(stage: Stage, providers: list[Provider]) -> None:
    """Each scans its own log."""
    table = Table("provider", "exchanges", "groups tested", "campaigns found", box=None, header_style="dim")
    for one in providers:
        result = stage.run(one, "scan", "log.parquet", "--joint", "--out", "out")
        tested = json.loads((one.folder / "out" / "candidates.json").read_text("utf-8"))
        found = sum(entry["label"] == "campaign" for entry in result["campaigns"])
        count = tested["screened"] + tested["joint_only"]
        table.add_row(one.name, f"{result['scanned']['accepted']:,}", str(count), str(found))
        if found:
            raise Failed(f"{one.name} finds a campaign alone")
    stage.console.print(table)
    stage.expect(True, "none of the three finds anything alone")  # noqa: FBT003 - what the loop has shown


def matched(stage: Stage, providers: list[Provider], letters: Path) -> None:
    """Tokens, commitments, the match, openings."""
    ceremony = stage.run(providers[0], "share", "match", "propose", "--least", "2", "--days", "7")
    stage.say(
        f"{ceremony['threshold']} of {len(ceremony['holders'])} holders are needed for a token; nobody has the key"
    )

    def made() -> bool:
        stage.run(providers[0], "share", "match", "epoch", show=False)
        return True

    stage.until(made, "the holders make the key of the epoch")
    for one in providers:
        found = stage.run(one, "share", "match", "tokens", "out", "--out", "match-out")
        stage.say(f"{found['tokens']} tokens")
    stage.say("Now each commits to its evidence, before anybody shows anything:")
    for one in providers:
        stage.run(
            one, "share", "joint", "commit", *_round(), "--forum", FORUM, "--round", ROUND, "--secret", "round.secret",
            "--facts", "facts.json", "--out", letters / f"{one.name}-commitment.json",
        )  # fmt: skip
    for again in (False, True):
        for one in providers:
            found = stage.run(
                one,
                "share",
                "match",
                "run",
                "out",
                "--facts",
                "facts.json",
                "--out",
                "match-out",
                show=not again,
            )
            if again:
                stage.say(f"{one.name}: {len(found['groups'])} groups of candidates are known to others, too")
    stage.say("And opens what matched, and nothing else:")
    for one in providers:
        made_ = stage.run(
            one, "share", "joint", "open", *_round(), "--matched", "match-out/matched.jsonl", "--secret", "round.secret",
            "--commitment", letters / f"{one.name}-commitment.json", "--out", letters / f"{one.name}-opening.json",
        )  # fmt: skip
        stage.say(f"{one.name} opens {made_['opened']} of {made_['of']} candidates")


def _round() -> tuple[str, ...]:
    return (
        "--results",
        "out",
        "--tags",
        "match-out/tags.jsonl",
        "--members",
        "match/roster.json",
        "--key",
        "member.key",
    )


def decided(stage: Stage, providers: list[Provider], letters: Path) -> dict[str, Any]:
    """Each computes the decision; a forged statement changes nothing."""
    digests: set[str] = set()
    result: dict[str, Any] = {}
    for one in providers:
        files = sorted(letters / path.name for path in (stage.out / "letters").glob("*.json"))
        result = stage.run(one, "share", "joint", "decide", *files, "--members", "match/roster.json", "--forum", FORUM,
                           "--round", ROUND, "--out", "decision.json", show=one is providers[0])  # fmt: skip
        digests.add(hashlib.sha256((one.folder / "decision.json").read_bytes()).hexdigest())
    stage.expect(len(digests) == 1, f"all three computed the same bytes: {digests.pop()[:16]}…")
    groups = [group for group in result["groups"] if group["label"] == "campaign"]
    stage.expect(
        groups,
        f"{result['campaigns']} campaign in {result['hypotheses']} groups, at a false discovery rate of 1 %",
    )
    best = max(groups, key=lambda group: group["bits"])
    table = Table(
        "provider", "its own evidence, bits", "could it have stopped it?", box=None, header_style="dim"
    )
    called = {one.identity: one.name for one in providers}
    for member in best["members"]:
        own = "–" if member["bits"] is None else f"{member['bits']:.1f}"
        table.add_row(called[member["by"]], own, "yes" if member["could_stop"] else "no")
    stage.console.print(table)
    stage.say(
        f"together {best['bits']:.1f} bits; {result['bar_bits']:.1f} are needed; it would bear {best['tolerates']} liars"
    )
    forged = _forged(stage.out / "letters" / f"{providers[0].name}-opening.json")
    (stage.out / "forged.json").write_text(json.dumps(forged), "utf-8")
    kept = [
        letters / path.name
        for path in sorted((stage.out / "letters").glob("*.json"))
        if path.name != f"{providers[0].name}-opening.json"
    ]
    other = stage.run(providers[1], "share", "joint", "decide", *kept, "../forged.json", "--members",
                      "match/roster.json", "--forum", FORUM, "--round", ROUND, show=False)  # fmt: skip
    stage.expect(other["refused"], "a forged opening is set aside by name, and stops nobody")
    return result


def _forged(path: Path) -> dict[str, Any]:
    """The statement with one e-value raised after it was signed."""
    envelope = json.loads(path.read_text("utf-8"))
    body = json.loads(base64.b64decode(envelope["payload"]))
    tests = body["candidates"][0]["evidence"]["tests"]
    tests[next(iter(tests))] = 640
    return {**envelope, "payload": base64.b64encode(json.dumps(body).encode()).decode()}


def adopted(stage: Stage, providers: list[Provider]) -> dict[str, list[dict[str, Any]]]:
    """Each finds its own part in its own log; beside the truth, which only the demo knows."""
    found: dict[str, list[dict[str, Any]]] = {}
    table = Table(
        "provider", "accounts found", "of the campaign's", "innocent among them", box=None, header_style="dim"
    )
    for one in providers:
        stage.run(one, "share", "joint", "adopt", "decision.json", "--facts", "facts.json", "--members", "match/roster.json",
                  "--key", "member.key", "--out", "jointly.json", show=one is providers[0])  # fmt: skip
        result = stage.run(
            one,
            "scan",
            "log.parquet",
            "--jointly",
            "jointly.json",
            "--out",
            "together",
            show=one is providers[0],
        )
        entries = [entry for entry in result["campaigns"] if entry["label"] == "campaign"]
        accounts = {row["account_id"] for entry in entries for row in entry["accounts"]}
        found[one.name] = entries
        table.add_row(
            one.name,
            str(len(accounts)),
            f"{len(accounts & one.guilty)} of {len(one.guilty)}",
            str(len(accounts - one.guilty)),
        )
    stage.console.print(table)
    stage.expect(any(found.values()), "what was decided together is now a campaign of each one's own results")
    return found


RELEASE = """[campaigns.{campaign}]
by = "anna"
reason = "decided together, read by two persons"
templates = true
"""


def shared(
    stage: Stage, providers: list[Provider], found: dict[str, list[dict[str, Any]]]
) -> tuple[Provider, str]:
    """One shares what it has; the others pull it, check it, and use it by their own rules."""
    author = next(one for one in providers if found[one.name])
    campaign = found[author.name][0]["campaign_id"]
    (author.folder / "release.toml").write_text(RELEASE.format(campaign=campaign), "utf-8")
    seen = stage.run(
        author, "share", "preview", campaign, "--results", "together", "--release", "release.toml"
    )
    stage.say(
        f"{seen['bytes']:,} bytes would leave; withheld: {len(seen['withheld'])} things, among them accounts, counts, times"
    )
    stage.run(author, "share", "push", campaign, "--results", "together", "--release", "release.toml")
    for one in providers:
        pulled = stage.run(one, "share", "pull")
        stage.say(f"{one.name}: {_pulled(pulled)}")
    head = stage.run(author, "share", "heads", show=False)
    (stage.out / "head.txt").write_text(head["head"], "utf-8")
    for one in providers[1:]:
        same = stage.run(one, "share", "heads", "--compare", "../head.txt", show=False)
        stage.say(f"{one.name}: {same['compared']}")
    for one in providers:
        if one is author:
            continue
        lookup = json.loads((one.folder / "forum" / "indicators.json").read_text("utf-8"))["indicators"]
        drafted = one.folder / "forum" / "proposed.json"
        orders = json.loads(drafted.read_text("utf-8"))["orders"] if drafted.exists() else []
        stage.say(
            f"{one.name} uses it as its own rules say ({USES[one.name]}): {len(lookup)} to look up, {len(orders)} orders drafted"
        )
        stage.expect(
            all(order["response"] == "observe" for order in orders),
            "nothing is asked for beyond observing, and nothing applied",
        )
        told = stage.run(
            one,
            "share",
            "sightings",
            "log.parquet",
            "--results",
            "together",
            "--push",
            show=one is providers[-1],
        )
        stage.say(f"{one.name}: {_seen(told)}")
    return author, campaign


def _pulled(told: dict[str, Any]) -> str:
    return f"{told['new']} new objects, each signed by its author and found in the log of {told['leaves']} leaves"


def _seen(told: dict[str, Any]) -> str:
    found = ", ".join(f"{one['accounts']} accounts of its own {one['campaign_id']}" for one in told["own"])
    return f"seen in its own log: {found or 'nothing'}; told to the others in orders of magnitude"


def redress(stage: Stage, providers: list[Provider], author: Provider) -> None:
    """A dispute, an upheld appeal, the revocation, and a review at each that pulled it."""
    doubter = next(one for one in providers if one is not author)
    stage.run(doubter, "share", "bundle", "bundle.json", show=False)
    objects = json.loads((doubter.folder / "bundle.json").read_text("utf-8"))["objects"]
    about = next(one["id"] for one in objects if one["type"] == "campaign")
    stage.run(
        doubter,
        "share",
        "dispute",
        about,
        "--ground",
        "evaluation",
        "--by",
        "bert",
        "--reason",
        "a customer showed its contract",
    )
    stage.run(author, "share", "pull", show=False)
    stage.say(f"{author.name} has to look again: {_waiting(stage.run(author, 'share', 'reviews'))}")
    stage.run(
        author,
        "share",
        "decide",
        about,
        "upheld",
        "--by",
        "anna",
        "--reason",
        "the contract covers these accounts",
    )
    for one in providers:
        if one is author:
            continue
        stage.run(one, "share", "pull", show=False)
        waiting = stage.run(one, "share", "reviews", show=one is doubter)
        stage.say(f"{one.name} has to look again: {_waiting(waiting)}")
        lookup = json.loads((one.folder / "forum" / "indicators.json").read_text("utf-8"))["indicators"]
        stage.expect(not lookup, f"{one.name} looks nothing of it up any more")
        for review in waiting["reviews"]:
            stage.run(one, "share", "decide", review["object"], "stopped-using", "--cause", review["cause"], "--by", "carl",
                      "--reason", "taken back by its author", show=False)  # fmt: skip
        left = stage.run(one, "share", "reviews", show=False)["reviews"]
        stage.expect(not left, f"{one.name} has decided, in its own ledger, and told the others")


def _waiting(told: dict[str, Any]) -> str:
    days = [round((one["due"] - told["now"]) / 86_400_000_000) for one in told["reviews"]]
    why = sorted({str(one["why"]) for one in told["reviews"]})
    return f"{len(days)} reviews ({', '.join(why)}), the first within {min(days)} days"


def report(stage: Stage, providers: list[Provider]) -> None:
    """The transparency page, and the hub's own books."""
    one = providers[1]
    stage.run(one, "share", "pull", show=False)
    page = stage.run(one, "share", "transparency", "--members", "match/roster.json", "--from", "2020-01-01",
                     "--to", "2100-01-01", "--decision", "decision.json", "--out", "page.md")  # fmt: skip
    counts = {name: value for names in page["counts"].values() for name, value in names.items() if value}
    told = ", ".join(f"{name.replace('-', ' ')} {value}" for name, value in counts.items())
    stage.say(
        f"members see exactly: {told}; joint rounds {page['joint']['rounds']}, campaigns {page['joint']['campaigns']}"
    )
    public = stage.run(one, "share", "transparency", "--members", "match/roster.json", "--from", "2020-01-01",
                       "--to", "2100-01-01", "--public", "--ledger", "published.jsonl")  # fmt: skip
    words = {
        f"{name.replace('_', ' ')} {value}"
        for names in public["counts"].values()
        for one in names.values()
        for name, value in one.items()
    }
    stage.say(f"the public sees of each: {', '.join(sorted(words))}")
    books = stage.run(None, "hub", "verify", "hub")
    stage.expect(books, "the hub's store, log, head and audit agree")


def play(out: Path, console: Console) -> None:
    """The whole play. Raises Failed."""
    stage = Stage(console, out)
    providers = [Provider(name, out / name) for name in NAMES]
    letters = Path("..") / "letters"
    for folder in (out / "letters", *(one.folder for one in providers)):
        folder.mkdir(parents=True)
    stage.scene(
        "1  Three providers",
        "One campaign has accounts at three rivals, few at each. Each has its own customers.",
    )
    logs(stage, providers)
    stage.scene("2  Alone", "Each scans its own log.")
    alone(stage, providers)
    port = _port()
    with ExitStack() as held:
        stage.scene(
            "3  A forum", "They run a hub that none has to trust, and know each other by keys and pseudonyms."
        )
        made = held.enter_context(hub(stage, port))
        enrol(stage, providers, made, port)
        stage.scene(
            "4  Matching",
            "Which of my candidates do others have, too? Nobody shows identifiers, prompts or accounts.",
        )
        for one in providers:
            held.enter_context(holding(stage, one))
        matched(stage, providers, letters)
        stage.scene(
            "5  Deciding together",
            "Evidence of the matched candidates is multiplied; each computes the decision.",
        )
        decided(stage, providers, letters)
        found = adopted(stage, providers)
        stage.scene(
            "6  Sharing",
            "One tells the others in signed objects; each uses them by its own rules. No duty to act.",
        )
        author, _ = shared(stage, providers, found)
        stage.scene(
            "7  Redress", "It was wrong for somebody: a dispute, an upheld appeal, a revocation, reviews."
        )
        redress(stage, providers, author)
        stage.scene("8  Books", "What the forum did, for members and for the public.")
        report(stage, providers)
    console.print()
    console.print(f"{stage.commands} commands. Everything is in {out}", highlight=False)


def main() -> int:
    """Play it; 1 when a step fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("forum-demo-out"))
    args = parser.parse_args()
    out = args.out.absolute()
    if out.exists():
        if not (out / "letters").is_dir():
            parser.error(f"{out} is there and no earlier play: name another folder")
        shutil.rmtree(out)
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        play(out, console)
    except Failed as error:
        console.print(f"FAILED: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
