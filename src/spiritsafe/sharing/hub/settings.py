"""``hub.toml``: what the operator of a hub decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spiritsafe import tomlfile
from spiritsafe.errors import UsageError
from spiritsafe.sharing.hub.members import Quota
from spiritsafe.sharing.hub.reception import Limits
from spiritsafe.sharing.hub.serve import Address

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "hub.toml"
KEY: Final = "log.pem"
DATABASE: Final = "hub.db"


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it. Paths in the file are taken from the folder in which it lies."""

    origin: str
    title: str
    contact: str
    url: str
    database: str
    key: Path
    address: Address
    limits: Limits
    quota: Quota


def read(folder: Path) -> Settings:
    """The settings in ``folder``. Raises UsageError with file and line."""
    path = folder / FILE
    if not path.is_file():
        raise UsageError("there is no hub here", where=str(path), hint="make one with `spiritsafe hub init`")
    table = tomlfile.read(path)
    table.only(
        ("origin", "title", "contact", "url", "database", "key", "listen", "limits", "quota"), "setting"
    )
    listen, limits, quota = (table.table(name) for name in ("listen", "limits", "quota"))
    listen.only(("host", "port", "certificate", "key", "clients", "connections"), "setting of [listen]")
    limits.only(("body", "objects", "object", "page", "page_bytes"), "limit")
    quota.only(("objects_per_day", "bytes_per_day", "requests_per_minute"), "quota")

    def file(name: str) -> Path | None:
        text = listen.text(name, None)
        return folder / text if text else None

    database = table.text("database", DATABASE) or DATABASE
    usual, most = Quota(), Limits()
    return Settings(
        origin=table.needed("origin", "the name of the log, as forum.example/log"),
        title=table.text("title", "Spiritsafe forum") or "",
        contact=table.text("contact", "") or "",
        url=table.text("url", "") or "",
        database=database if "://" in database else str(folder / database),
        key=folder / (table.text("key", KEY) or KEY),
        address=Address(
            listen.text("host", "127.0.0.1") or "",
            int(listen.number("port", 8443)),
            file("certificate"),
            file("key"),
            file("clients"),
            int(listen.number("connections", 512)),
        ),
        limits=Limits(
            body=limits.size("body", "10MB"),
            objects=int(limits.number("objects", most.objects)),
            object=limits.size("object", "65536B"),
            page=int(limits.number("page", most.page)),
            page_bytes=limits.size("page_bytes", "8MB"),
        ),
        quota=Quota(
            int(quota.number("objects_per_day", usual.objects_per_day)),
            quota.size("bytes_per_day", "200MB"),
            int(quota.number("requests_per_minute", usual.requests_per_minute)),
        ),
    )


def write(folder: Path, origin: str, title: str, database: str | None) -> None:
    """A first file of settings, with what may be changed named in comments. Raises UsageError when there is one."""
    lines = [
        f"origin = {_quoted(origin)} # the name of the log: never changes",
        f"title = {_quoted(title)}",
        '# contact = "forum@example.org"',
        '# url = "https://forum.example.org" # how members reach the hub',
        f"database = {_quoted(database or DATABASE)} # or postgresql://USER@HOST/NAME, with the password in ~/.pgpass",
        "",
        "[listen]",
        'host = "127.0.0.1"',
        "port = 8443",
        '# certificate = "hub.crt" # with key = "hub.key": TLS',
        '# clients = "members-ca.crt" # whose certificates members may show (mTLS)',
        "",
        "[quota] # of members that enrol from now on",
        "objects_per_day = 100_000",
        'bytes_per_day = "200MB"',
        "requests_per_minute = 600",
    ]
    path = folder / FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError as error:
        raise UsageError("there is a hub here already", where=str(path)) from error
    except OSError as error:
        raise UsageError(f"this cannot be written: {error.strerror}", where=str(path)) from error


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
