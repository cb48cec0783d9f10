"""Time stamps: asking an authority (RFC 3161) to stamp a signed statement. Checking is in ``verify``, without this."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

from spiritsafe.errors import AttestError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1 << 20
_SECONDS = 30


def query(statement: bytes) -> bytes:
    """The request of a time stamp over ``statement``, as DER. Raises UsageError without the extra."""
    try:
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415 - comes with the extra `cases`
    except ImportError as error:
        raise UsageError(
            "a time stamp needs rfc3161-client",
            hint="pip install 'spiritsafe[cases]', or fetch it with openssl ts",
        ) from error
    made = TimestampRequestBuilder().data(statement).hash_algorithm(HashAlgorithm.SHA256)
    return made.cert_request(cert_request=True).build().as_bytes()


def authority(url: str) -> Callable[[bytes], bytes]:
    """What asks the authority at ``url``: statement → response, as DER. Raises AttestError when it does not answer."""
    if not url.startswith(("https://", "http://")):
        raise UsageError(f"{url!r} is no address", hint="https://… of an RFC 3161 authority")

    def stamp(statement: bytes) -> bytes:
        asked = Request(  # noqa: S310 - the scheme was looked at
            url, query(statement), {"content-type": "application/timestamp-query"}
        )
        try:
            with urlopen(asked, timeout=_SECONDS) as answer:  # noqa: S310 - as above
                return answer.read(_MOST)
        except (URLError, OSError) as error:
            raise AttestError(
                f"the authority did not answer: {error}",
                where=url,
                hint="seal without it and add a stamp within a day",
            ) from error

    return stamp
