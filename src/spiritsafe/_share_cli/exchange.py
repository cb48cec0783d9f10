"""Preview, push, pull, watch and what belongs to them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._share_cli import shown
from spiritsafe._share_cli.shown import USUAL, Config, Json
from spiritsafe.errors import SharingError, UsageError
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.model import Indicator
    from spiritsafe.sharing.client.outgoing import Outgoing
    from spiritsafe.sharing.client.session import Session
    from spiritsafe.sharing.client.settings import Member
    from spiritsafe.sharing.stix.release import Release

Campaign = Annotated[str, typer.Argument(help="Id of the campaign, or its beginning.", show_default=False)]
Results = Annotated[Path, typer.Option("--results", help="Folder that a scan or a watch wrote.")]
ReleaseFile = Annotated[Path | None, typer.Option("--release", help="What a person lets out in clear.")]


def preview(
    campaign: Campaign,
    results: Results = Path("out"),
    config: Config = USUAL,
    release: ReleaseFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the message, byte for byte, to push it later.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show byte for byte what would leave, and what is withheld and why. Sends nothing."""
    from spiritsafe.attest import keys  # noqa: PLC0415 - a fast --help
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415
    from spiritsafe.sharing.client import screen, settings  # noqa: PLC0415

    usual = config == USUAL and not config.exists()
    member = settings.Member(config) if usual else settings.read(config)
    found = _about(campaign, results, member, release, keys.load(member.key) if member.key else None)
    if out is not None:
        replace_file(out, found.body)
    if as_json:
        table = {
            "bytes": len(found.body), "message": found.body.decode(), "sha256": found.digest, "signed": found.signed,
            "withheld": [asdict(one) for one in found.withheld],
        }  # fmt: skip
        shown.write(table)
    else:
        screen.preview(found, member, usual=usual)


def enrol(
    code: Annotated[str, typer.Argument(help="The invitation that the operator gave.", show_default=False)],
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Become a member of the forum, with the key in the settings."""
    from spiritsafe.sharing.hub.members import enrolment  # noqa: PLC0415 - a fast --help

    with shown.session(config) as one:
        one.wire.about()
        body = enrolment(one.key, code, audience=one.wire.origin, now=shown.now())
        made = one.wire.post("/forum/enrol", json.dumps(body).encode(), signed=False).content
        shown.tell(made, f"you are {made.get('pseudonym')} ({made.get('identity')})", as_json)


def push(
    campaign: Annotated[str | None, typer.Argument(help="Id of the campaign; absent: what waits.")] = None,
    results: Results = Path("out"),
    config: Config = USUAL,
    release: ReleaseFile = None,
    message: Annotated[Path | None, typer.Option(help="A message that `preview --out` kept.")] = None,
    as_json: Json = False,
) -> None:
    """Send what `preview` shows. A message that was begun is sent until the hub has answered."""
    with shown.session(config) as one:
        if message is not None:
            one.put(_bytes(message), f"message {message.name}", _releases(release))
        elif campaign is not None:
            found = _about(campaign, results, one.member, release, one.key, one.own())
            one.put(found.body, campaign, _releases(release))
        shown.send(one, as_json)


def pull(
    config: Config = USUAL,
    whole: Annotated[bool, typer.Option("--whole", help="Fetch everything again.")] = False,
    as_json: Json = False,
) -> None:
    """Take what is new, check it, and write what your own policy allows. Nothing is applied by it."""
    with shown.session(config) as one:
        table, text = _pull(one, whole=whole)
        shown.tell(table, text, as_json)


def watch(
    config: Config = USUAL,
    every: Annotated[str, typer.Option(help="How often to pull.")] = "5m",
    rounds: Annotated[int | None, typer.Option(min=1, help="So often; absent: until it is stopped.")] = None,
    as_json: Json = False,
) -> None:
    """Pull again and again, and send what waits; a hub that is away is waited for."""
    from spiritsafe.orders.policy import span  # noqa: PLC0415

    pause = span(every, "--every") / 1_000_000
    done = 0
    while rounds is None or done < rounds:
        if done:
            time.sleep(pause)
        try:
            with shown.session(config) as one:
                one.send()
                table, text = _pull(one, whole=False)
            shown.tell(table, text, as_json)
        except SharingError as error:
            # What a hub does wrong or a network does not do is told, and the next round looks again; a fork is no such thing.
            from spiritsafe.sharing.client.mirror import Forked  # noqa: PLC0415

            if isinstance(error, Forked):
                raise
            shown.tell({"error": str(error)}, f"not pulled: {error}", as_json)
        done += 1


def sightings(
    logs: Annotated[list[str] | None, typer.Argument(help="Log files, folders or globs to look in.")] = None,
    config: Config = USUAL,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Own scan: which of its campaigns have the accounts that matched."),
    ] = None,
    false_positive: Annotated[list[str] | None, typer.Option(help="Indicator that is wrong here.")] = None,
    send: Annotated[bool, typer.Option("--push", help="Tell the others, in orders of magnitude.")] = False,
    memory: Annotated[str, typer.Option(help="Memory the engine may use.")] = "3GB",
    as_json: Json = False,
) -> None:
    """Look for pulled indicators in your own logs; say that one was seen, or is a false positive."""
    from spiritsafe.sharing.client import outgoing, screen  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.client import sightings as seen  # noqa: PLC0415

    with shown.session(config) as one:
        made: list[dict[str, Any]] = []
        found = _look(one, logs, memory) if logs else {}
        seen.keep(one.state, found, one.maker.now)
        made += seen.told(one.maker, found) if send else []
        for key in false_positive or ():
            now = one.maker.now
            made.append(one.maker.sighting(one.known(key), "false-positive", first=now, last=now))
        if made:
            one.put(one.sealed(made), "sightings")
            one.send()
        own = seen.own_campaigns(found, outgoing.results(results).told) if results else []
        table = {
            "seen": {
                key: {
                    "first": hit.first,
                    "last": hit.last,
                    "accounts": len(hit.accounts),
                    "exchanges": hit.exchanges,
                }
                for key, hit in sorted(found.items())
            },
            "own": [asdict(each) for each in own],
            "told": [stix["id"] for stix in made],
        }
        shown.tell(table, screen.seen(found, own, one.state.members(), one.state.here()), as_json)


def members(config: Config = USUAL, as_json: Json = False) -> None:
    """List the members as the last pull saw them, with their keys."""
    from spiritsafe.sharing.client import screen  # noqa: PLC0415 - a fast --help

    with shown.session(config) as one:
        known, keys, words = one.state.members(), one.state.known_keys(), one.state.words()
        table = [
            {
                "identity": who,
                "pseudonym": name,
                "state": state,
                "keys": [asdict(key) for key in keys if key.identity == who],
                "log": {"leaves": words[who].size, "time": words[who].time} if who in words else None,
            }
            for who, (name, state) in sorted(known.items(), key=lambda item: item[1])
        ]
        shown.tell(
            {"members": table, "me": one.maker.author}, screen.members(table, one.maker.author), as_json
        )


def heads(
    compare: Annotated[Path | None, typer.Option(help="A head that another member was shown.")] = None,
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Show the newest signed head of the hub's log, to compare it with other members; or compare theirs."""
    from spiritsafe.sharing.client import mirror  # noqa: PLC0415 - a fast --help

    with shown.session(config) as one:
        kept = one.state.head()
        if compare is None:
            shown.tell({"head": kept}, kept.rstrip() if kept else "no head yet: pull first", as_json)
            return
        origin = one.state.fact("origin") or ""
        said = mirror.compare(
            one.state, _bytes(compare).decode("utf-8", "replace"), one.member.needs_hub().log_key, origin
        )
        shown.tell({"compared": said}, said, as_json)


def bundle(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Write what is here as a STIX bundle for MISP, OpenCTI and other tools in your own house."""
    from spiritsafe.orders.snapshot import replace_file  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.stix import others  # noqa: PLC0415

    with shown.session(config) as one:
        made = others.bundle(kept.stix for kept in one.state.here())
        replace_file(out, json.dumps(made, indent=1).encode() + b"\n")
        text = f"{len(made['objects'])} objects in {out}; their markings go on: TLP:AMBER+STRICT stays in the house"
        shown.tell({"objects": len(made["objects"])}, text, as_json)


def _about(
    campaign: str,
    results: Path,
    member: Member,
    release: Path | None,
    key: Ed25519PrivateKey | None,
    earlier: Mapping[str, Any] | None = None,
) -> Outgoing:
    from spiritsafe.sharing.client import outgoing  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.stix.release import NOTHING  # noqa: PLC0415

    result = outgoing.results(results)
    entry = result.entry(campaign, str(results))
    given = _releases(release).get(entry["campaign_id"], NOTHING)
    return outgoing.about(
        result,
        entry["campaign_id"],
        member,
        key,
        now=shown.now(),
        release=given,
        earlier=earlier,
        where=str(results),
    )


def _releases(path: Path | None) -> Mapping[str, Release]:
    from spiritsafe.sharing.stix import release  # noqa: PLC0415 - a fast --help

    return release.read(path) if path else {}


def _pull(one: Session, *, whole: bool) -> tuple[dict[str, Any], str]:
    from spiritsafe.features import FINGERPRINT_VERSION  # noqa: PLC0415 - a fast --help
    from spiritsafe.sharing.client import screen  # noqa: PLC0415

    found = one.pull(fingerprint_version=FINGERPRINT_VERSION, whole=whole)
    indicators = [
        {"id": each.indicator.indicator_id, "author": each.author, "use": each.use, "why": each.why}
        for each in found.used
    ]
    table = {
        **asdict(found.pulled), "heads": asdict(found.heard), "reviews": found.opened, "indicators": indicators,
        "unusable": found.received.unusable,
    }  # fmt: skip
    return table, screen.pulled(found.pulled, found.heard, found.used, found.received, found.opened)


def _look(one: Session, logs: Sequence[str], memory: str) -> Any:
    """Pulled indicators of others, of each use or none, beside own logs: only a person's lookup, so no rule is asked."""
    from spiritsafe import pipeline  # noqa: PLC0415 - a fast --help
    from spiritsafe.features import FINGERPRINT_VERSION  # noqa: PLC0415
    from spiritsafe.features.lookup import Index  # noqa: PLC0415
    from spiritsafe.sharing.client import sightings as seen  # noqa: PLC0415
    from spiritsafe.sharing.stix.read import from_stix  # noqa: PLC0415

    received = from_stix((kept.stix for kept in one.state.here()), fingerprint_version=FINGERPRINT_VERSION)
    listed = [each for each in received.indicators if received.authors[each.indicator_id] != one.maker.author]
    index = Index(_always(listed))
    batches = pipeline.replay(logs, settings=Settings(memory=memory))
    return seen.tally(batches, lambda batch: index.match_batch(batch, now=0), listed)


def _always(listed: Iterable[Indicator]) -> Iterable[Indicator]:
    """The same without begin and end, which are compared with recorded times."""
    return (replace(each, valid_from=0, valid_until=None) for each in listed)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error


VERBS = (preview, enrol, push, pull, watch, sightings, members, heads, bundle)
