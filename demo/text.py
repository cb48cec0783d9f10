"""Cleaning of the texts that go into the demo corpus: real mails lose headers, names, addresses and numbers."""

from __future__ import annotations

import email
import html
import re
from email.header import decode_header, make_header
from email.utils import getaddresses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

READ = 20_000
LONGEST = 560
SHORTEST = 60
#: Mails with any of these are left out: nobody needs them in a demo.
UNWANTED = re.compile(
    r"\b(sex|porn|xxx|viagra|cialis|penis|erotic|nude|hardcore|rape|incest|teen|lolita|nigger|faggot|fuck\w*|"
    r"shit\w*|cunt|horny|breast|orgasm\w*|casino|kill\w*|terroris\w*|bin laden|passport no|social security)\b",
    re.IGNORECASE,
)
STAND_INS = ("Alex", "Sam", "Robin", "Kim", "Jo", "Chris", "Lee", "Dana", "Pat", "Noor", "Toni", "Sasha")
_TAG = re.compile(r"<(script|style).*?</\1>|<!--.*?-->|<[^>]{1,300}>", re.DOTALL | re.IGNORECASE)
_ADDRESS = re.compile(r"\b[\w.+%-]{1,60}(@|\s+at\s+)[\w-]{1,40}(\.[\w-]{1,40}){1,4}", re.IGNORECASE)
_URL = re.compile(r"(https?://|ftp://|www\.)[^\s>)\"']+", re.IGNORECASE)
_HOST = re.compile(
    r"\b[\w-]{1,40}(\.[\w-]{1,40}){0,4}\.(com|net|org|edu|gov|ie|uk|de|info|biz|co|ca|au|nl|fr|se)\b",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?!\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{4})\+?\(?\d[\d()\s./-]{7,20}\d")
_STREET = re.compile(
    r"\b\d+\s+[A-Z]\w+\s+(St|Street|Ave|Avenue|Road|Rd|Drive|Dr|Blvd|Suite|Lane)\b\.?", re.IGNORECASE
)
_LONG_NUMBER = re.compile(r"\d{6,}")
_SIGNED = re.compile(
    r"^(--\s*$|_{5,}|-{5,}|={5,}|cheers|regards|best|thanks|thank you|yours|sincerely|hth)[\s,!.]*",
    re.IGNORECASE,
)
_ATTRIBUTION = re.compile(r"(wrote|writes|said|schrieb)\s*:?\s*$|^on .{5,80}\d", re.IGNORECASE)
_WORD = re.compile(r"\b[A-Z][a-z]{1,20}\b")


def parsed(raw: str) -> Message | None:
    """A raw mail as a message, None when it cannot be read."""
    try:
        return email.message_from_string(raw.partition("\n")[2] if raw.startswith("From ") else raw)
    except (ValueError, LookupError):
        return None


def names_of(messages: Iterable[Message]) -> set[str]:
    """Every word of every personal name in the address headers."""
    found: set[str] = set()
    for message in messages:
        values = [str(message.get(key, "")) for key in ("From", "To", "Cc", "Reply-To", "Sender")]
        for shown, address in getaddresses(values):
            try:
                shown_name = str(make_header(decode_header(shown)))
            except (ValueError, LookupError):
                shown_name = shown
            found |= {word.capitalize() for word in re.findall(r"[A-Za-z]{3,}", shown_name)}
            found |= {word.capitalize() for word in re.findall(r"[A-Za-z]{4,}", address.partition("@")[0])}
    return found


def body_of(message: Message) -> str:
    """The first text part without markup, quotes, attributions and signature."""
    part = next((one for one in message.walk() if one.get_content_maintype() == "text"), None)
    if part is None:
        return ""
    data = part.get_payload(decode=True)
    text = (data.decode("latin-1") if isinstance(data, bytes) else str(data))[:READ]
    if "<" in text and re.search(r"<(html|body|br|p|font|table)\b", text, re.IGNORECASE):
        text = html.unescape(_TAG.sub(" ", text))
    kept: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if _SIGNED.match(bare) and kept:
            break
        if bare.startswith((">", "|", "}", "#")) or _ATTRIBUTION.search(bare) or re.match(r"^[\w-]+: ", bare):
            continue
        kept.append(bare)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t\xa0]+", " ", "\n".join(kept))).strip()


def scrubbed(text: str, names: set[str], lower: set[str]) -> str:
    """Without addresses, links, hosts, numbers of telephones and accounts, streets and names.

    ``names`` come from the headers of all mails; a word that is also used in lower case somewhere (``lower``) is
    a common word and stays.
    """
    text = _URL.sub("https://example.org/", text)
    text = _ADDRESS.sub("someone@example.org", text)
    text = _HOST.sub(lambda hit: hit[0] if hit[0] == "example.org" else "example.com", text)
    text = _PHONE.sub("555 0100", text)
    text = _STREET.sub("1 Example Street", text)
    text = _LONG_NUMBER.sub("000000", text)

    def stand_in(hit: re.Match[str]) -> str:
        word = hit[0]
        if word in names and word.lower() not in lower:
            return STAND_INS[sum(word.encode()) % len(STAND_INS)]
        return word

    return _WORD.sub(stand_in, text)


def fits(text: str) -> str | None:
    """The text cut at a sentence or line near the longest length; None when it is too short or unwanted."""
    if UNWANTED.search(text) or sum(ch.isalpha() or ch.isspace() for ch in text) < 0.75 * len(text):
        return None
    if len(text) > LONGEST:
        cut = max(text.rfind(end, SHORTEST, LONGEST) for end in (". ", "? ", "! ", "\n"))
        text = text[: cut + 1] if cut > SHORTEST else text[:LONGEST]
    text = "".join(ch for ch in text if ch.isprintable() or ch == "\n").strip()
    return text if len(text) >= SHORTEST else None
