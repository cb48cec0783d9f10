"""Signing in at an identity provider: a small one of our own, on loopback, that lies when told to."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
import pytest
from consoles import House, furnish, served
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import httpx
    from consoles import Browser


class Provider:
    """Says who ``claims`` is. ``lie`` changes one thing of what it should say."""

    def __init__(self) -> None:
        self.key, self.other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.claims: dict[str, Any] = {"sub": "s-1", "preferred_username": "Olga", "groups": ["safety"]}
        self.lie: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.issuer = ""

    def away(self, asked: dict[str, str]) -> dict[str, str]:
        """What a person who agrees is sent back with."""
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or proof.decode() != asked["code_challenge"]
            or asked["code_challenge_method"] != "S256"
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        body = {
            "iss": self.issuer, "aud": asked["client_id"], "nonce": asked["nonce"], "iat": now, "exp": now + 60,
            **self.claims, **self.lie.get("claims", {}),
        }  # fmt: skip
        key = self.lie.get("key", self.key)
        algorithm = self.lie.get("algorithm", "EdDSA")
        return 200, {
            "id_token": jwt.encode(body, key, algorithm=algorithm, headers={"kid": "k"}),
            "token_type": "Bearer",
        }

    def get(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/auth", "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }  # fmt: skip
        raw = base64.urlsafe_b64encode(self.key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": raw, "kid": "k", "alg": "EdDSA"}]}


@contextmanager
def provided() -> Generator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def _say(self, status: int, told: dict[str, Any]) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say(200, provider.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._say(*provider.token(dict(parse_qsl(body))))

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield provider
        server.shutdown()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, password_hash: str) -> Generator[tuple[House, Provider]]:
    data: Path = tmp_path_factory.mktemp("oidc") / "data"
    with provided() as provider:
        roles = 'roles = { safety = "analyst", heads = "approver" }'
        extra = f'[oidc]\nissuer = "{provider.issuer}"\nclient = "console"\n{roles}\n'
        house = House(data)
        with served(data, furnish(data, password_hash, extra=extra), house.clock) as (base, _):
            house.base = base
            yield house, provider
            house.leave()


def signed_in(
    house: House, provider: Provider, *, who: Browser | None = None, **change: str
) -> httpx.Response:
    """Go to the provider and come back."""
    who = who or house.new()
    who.get("/login?next=/orders")
    away = who.get("/oidc?next=/orders")
    assert away.status_code == 303, away.text
    asked = {key: values[0] for key, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
    assert (asked["response_type"], asked["scope"]) == ("code", "openid profile email")
    return who.get(f"/oidc/back?{urlencode({**provider.away(asked), **change})}")


def test_whom_the_provider_knows_comes_in_with_the_role_of_their_groups(both: tuple[House, Provider]):
    house, provider = both
    olga = house.new()
    answer = signed_in(house, provider, who=olga)
    assert (answer.status_code, "/orders" in answer.text) == (200, True)
    told = olga.json("/me.json")
    assert (told["name"], told["role"], told["local"]) == ("olga", "analyst", False)
    provider.lie = {"claims": {"groups": ["safety", "heads"]}}
    again = house.new()
    signed_in(house, provider, who=again)
    assert again.json("/me.json")["role"] == "approver"
    assert olga.get("/").status_code == 303
    provider.lie = {}
    kinds = [
        (one["kind"], one["body"]["by"]) for one in house.ledger() if one["body"]["subject"] == "person olga"
    ]
    assert kinds == [("person-added", "console"), ("role-given", "console")]
    assert house.new().enter("olga", "anything at all 1").status_code == 401


@pytest.mark.parametrize(
    "lie",
    [
        {"key": "other"},
        {"algorithm": "none", "key": None},
        {"algorithm": "HS256", "key": "a secret that the provider would have to share"},
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"aud": "another"}},
        {"claims": {"nonce": "x"}},
        {"claims": {"exp": 1}},
        {"claims": {"groups": ["strangers"], "sub": "s-9", "preferred_username": "zed"}},
        {"claims": {"sub": "s-9", "preferred_username": "dee"}},  # the name of somebody else
    ],
    ids=["key", "unsigned", "symmetric", "issuer", "audience", "nonce", "expired", "no-role", "taken-name"],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_provider_that_lies_lets_nobody_in(lie: dict[str, Any], both: tuple[House, Provider]):
    house, provider = both
    provider.lie = {**lie, "key": provider.other} if lie.get("key") == "other" else lie
    try:
        who = house.new()
        answer = signed_in(house, provider, who=who)
        assert answer.status_code in {403, 422}, answer.text
        assert who.get("/").status_code == 303
    finally:
        provider.lie = {}


def test_an_answer_belongs_to_one_browser_and_one_sign_in(both: tuple[House, Provider]):
    house, provider = both
    victim, thief = house.new(), house.new()
    victim.get("/login")
    away = victim.get("/oidc")
    asked = {key: values[0] for key, values in parse_qs(urlsplit(away.headers["location"]).query).items()}
    answer = provider.away(asked)
    thief.get("/login")
    assert thief.get(f"/oidc/back?{urlencode(answer)}").status_code == 403
    assert victim.get(f"/oidc/back?{urlencode(answer)}").status_code == 403  # used up
    assert signed_in(house, provider, state="x").status_code == 403
    assert signed_in(house, provider, code="x").status_code == 403
    assert signed_in(house, provider, error="access_denied").status_code == 403
