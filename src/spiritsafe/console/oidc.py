"""Signing in at an identity provider: OpenID Connect, authorization code with PKCE.

Everything the provider's browser redirect brings is hostile until the token is checked: signature by the provider's
keys (asymmetric algorithms only), issuer, audience, nonce, times. The exchange of the code goes from here to the
provider, not through the browser.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

from spiritsafe.errors import SpiritsafeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.console.settings import Oidc

_ALGORITHMS: Final = ["RS256", "PS256", "ES256", "EdDSA", "RS384", "RS512", "ES384"]
_WAIT: Final = 10.0
_LASTS: Final = 600_000_000
"""Microseconds that somebody may take at the provider."""
_PENDING: Final = 1_000
_BYTES: Final = 1_000_000
_SKEW: Final = 60


class Unproven(SpiritsafeError):  # noqa: N818 - reads as the fact it states
    """The provider did not prove who somebody is, or cannot be asked."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is remembered of somebody sent to the provider; ``browser`` is the cookie they must come back with."""

    browser: str
    nonce: str
    verifier: str
    to: str
    time: int


@dataclass(frozen=True, slots=True)
class Shown:
    """Who the provider says somebody is: ``subject`` is issuer and subject, unique for ever; ``role`` by its claims, or None."""

    subject: str
    name: str
    role: str | None


@dataclass(slots=True)
class Provider:
    """One provider. ``redirect`` is the address of this console that it sends people back to."""

    settings: Oidc
    redirect: str
    _begun: OrderedDict[str, Begun] = field(default_factory=OrderedDict[str, Begun])
    _about: dict[str, Any] = field(default_factory=dict[str, Any])

    async def begin(self, browser: str, to: str, *, now: int) -> str:
        """The address at the provider to send a browser to."""
        about = await self._discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._begun[state] = Begun(browser, nonce, verifier, to, now)
        while len(self._begun) > _PENDING:
            self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self.settings.client, "redirect_uri": self.redirect, "state": state,
            "scope": "openid profile email", "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{about['authorization_endpoint']}{'&' if '?' in about['authorization_endpoint'] else '?'}{urlencode(asked)}"

    async def end(self, answer: Mapping[str, str], browser: str, *, now: int) -> tuple[Shown, str]:
        """Who came back, and where they wanted to go. Raises Unproven."""
        begun = self._begun.pop(answer.get("state", ""), None)
        if begun is None or not browser or begun.browser != browser or now - begun.time > _LASTS:
            raise Unproven("this sign-in was not begun here, or took too long", hint="sign in again")
        if "error" in answer or not answer.get("code"):
            raise Unproven(f"the provider refused: {answer.get('error', 'no code')[:100]}")
        about = await self._discover()
        if (
            about.get("authorization_response_iss_parameter_supported")
            and answer.get("iss") != self.settings.issuer
        ):
            raise Unproven("the answer comes from another provider")
        fields = {
            "grant_type": "authorization_code", "code": answer["code"], "redirect_uri": self.redirect,
            "client_id": self.settings.client, "code_verifier": begun.verifier,
        }  # fmt: skip
        got = await self._ask("POST", about["token_endpoint"], fields)
        return self._checked(await self._claims(str(got.get("id_token", "")), about), begun), begun.to

    def _checked(self, claims: Mapping[str, Any], begun: Begun) -> Shown:
        if claims.get("nonce") != begun.nonce:
            raise Unproven("the token was made for another sign-in")
        if isinstance(claims["aud"], list) and claims.get("azp") != self.settings.client:
            raise Unproven("the token was made for another client")
        groups = claims.get(self.settings.claim, [])
        listed = groups if isinstance(groups, list) else [groups]
        among = [self.settings.roles[one] for one in cast("list[Any]", listed) if one in self.settings.roles]
        from spiritsafe.console.people import ROLES  # noqa: PLC0415 - the order of roles

        role = max(among, key=ROLES.index) if among else self.settings.otherwise
        name = str(claims.get(self.settings.name) or claims["sub"]).lower()
        return Shown(f"{self.settings.issuer} {claims['sub']}", name, role)

    async def _claims(self, token: str, about: Mapping[str, Any]) -> dict[str, Any]:
        try:
            head = jwt.get_unverified_header(token)
            found = await self._ask("GET", about["jwks_uri"], None)
            keys = [
                one
                for one in jwt.PyJWKSet.from_dict(found).keys
                if one.key_id == head.get("kid") or "kid" not in head
            ]
            if not keys:
                raise Unproven("the token is signed with a key that the provider does not show")
            return jwt.decode(
                token, keys[0], algorithms=_ALGORITHMS, audience=self.settings.client, issuer=self.settings.issuer,
                leeway=_SKEW, options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise Unproven(f"the token does not hold: {error}") from error

    async def _discover(self) -> dict[str, Any]:
        if not self._about:
            found = await self._ask("GET", f"{self.settings.issuer}/.well-known/openid-configuration", None)
            if str(found.get("issuer", "")).rstrip("/") != self.settings.issuer:
                raise Unproven(
                    "the provider calls itself by another name", hint="[oidc] issuer in console.toml"
                )
            for key in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not self._safe(str(found.get(key, ""))):
                    raise Unproven(f"the provider's {key} is no address by https")
            self._about = found
        return self._about

    async def _ask(self, method: str, address: str, fields: Mapping[str, str] | None) -> dict[str, Any]:
        secret = self._secret() if fields else None
        try:
            async with httpx.AsyncClient(timeout=_WAIT, follow_redirects=False, trust_env=False) as line:
                answer = await line.request(
                    method, address, data=fields, auth=(self.settings.client, secret) if secret else None,
                    headers={"accept": "application/json"},
                )  # fmt: skip
            if answer.status_code != 200 or len(answer.content) > _BYTES:
                raise Unproven(f"the provider answered {answer.status_code}", where=urlsplit(address).netloc)
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unproven(
                f"the provider cannot be asked: {type(error).__name__}",
                where=urlsplit(address).netloc,
                hint="try again",
            ) from error
        if not isinstance(found, dict):
            raise Unproven("the provider's answer is no object", where=urlsplit(address).netloc)
        return cast("dict[str, Any]", found)

    def _secret(self) -> str | None:
        if self.settings.secret is None:
            return None
        try:
            return self.settings.secret.read_text("utf-8").strip()
        except OSError as error:
            raise UsageError(f"cannot be read: {error.strerror}", where=str(self.settings.secret)) from error

    def _safe(self, address: str) -> bool:
        parts = urlsplit(address)
        local = urlsplit(self.settings.issuer).scheme == "http"
        return parts.scheme == "https" or (local and parts.scheme == "http" and bool(parts.hostname))
