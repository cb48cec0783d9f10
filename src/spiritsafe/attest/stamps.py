"""Time stamps (RFC 3161): a third party's word that some bytes were there at a time. An extra: ``spiritsafe[stamps]``.

A log's head carries its own time, which its operator may set. A stamp on the head, from an authority that neither the
operator nor a member runs, says that the head, and so all leaves below it, were there at the latest then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 65_536
"""Bytes of an answer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stamp:
    """The authority's answer, DER, and the time in it: microseconds since the epoch, UTC."""

    answer: bytes
    time: int


def ask(url: str, data: bytes, roots: bytes, *, timeout: float = 30.0) -> Stamp:
    """A stamp on ``data`` by the authority at ``url``, verified against ``roots`` (PEM). Only a hash of ``data`` is sent.

    Raises AttestError when the authority is not reached, refuses, or its answer does not verify.
    """
    import httpx  # noqa: PLC0415 - an extra

    tool = _tool()
    request = tool.TimestampRequestBuilder().data(data).build()
    headers = {"content-type": "application/timestamp-query", "accept": "application/timestamp-reply"}
    try:
        with httpx.stream(
            "POST", url, content=request.as_bytes(), headers=headers, timeout=timeout
        ) as answer:
            parts: list[bytes] = []
            for part in answer.iter_bytes():
                parts.append(part)
                if sum(map(len, parts)) > LONGEST:
                    raise AttestError("the answer is too large", where=url)
    except httpx.HTTPError as error:
        raise AttestError(
            f"the time stamping authority is not reached: {type(error).__name__}", where=url
        ) from error
    if answer.is_error:
        raise AttestError(f"the time stamping authority answers {answer.status_code}", where=url)
    found = b"".join(parts)
    return Stamp(found, verify(found, data, roots, nonce=request.nonce))


def verify(answer: bytes, data: bytes, roots: bytes, *, nonce: int | None = None) -> int:
    """The time (microseconds since the epoch) that ``answer`` (DER) gives to ``data``, under one of ``roots`` (PEM).

    Raises AttestError.
    """
    tool = _tool()
    try:
        stamped = tool.decode_timestamp_response(answer)
        builder = tool.VerifierBuilder(roots=_certificates(roots), nonce=nonce)
        builder.build().verify_message(stamped, data)
        moment: datetime = stamped.tst_info.gen_time
    except (tool.VerificationError, ValueError) as error:
        raise AttestError(
            "the time stamp does not hold", hint="check the authority's certificates"
        ) from error
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)


def _certificates(roots: bytes) -> Sequence[Any]:
    from cryptography import x509  # noqa: PLC0415

    return x509.load_pem_x509_certificates(roots)


def _tool() -> Any:
    try:
        import rfc3161_client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise AttestError("this needs rfc3161-client", hint="pip install 'spiritsafe[stamps]'") from error
    return rfc3161_client
