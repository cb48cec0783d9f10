"""The hub's tables. Steps are never edited after a release: a change is one more step."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from spiritsafe.attest.merkle import EMPTY
from spiritsafe.sharing.hub.store import migrate

if TYPE_CHECKING:
    from spiritsafe.sharing.hub.store import Store, Tx

PART: Final = "hub"
FIRST, LAST = 1, 2
"""Bits of ``standing``: the first, the last version of an object in its version of STIX."""
STEPS: Final = (
    """
CREATE TABLE roots (name TEXT PRIMARY KEY, title TEXT NOT NULL, description TEXT NOT NULL){strict};
CREATE TABLE collections (
  number {int} PRIMARY KEY, root TEXT NOT NULL REFERENCES roots (name), id TEXT NOT NULL, title TEXT NOT NULL,
  description TEXT NOT NULL, alias TEXT NOT NULL, signed {int} NOT NULL, readers TEXT NOT NULL, writers TEXT NOT NULL,
  UNIQUE (root, id)){strict};
CREATE TABLE members (
  number {int} PRIMARY KEY, pseudonym TEXT NOT NULL UNIQUE, identity TEXT NOT NULL UNIQUE, roles TEXT NOT NULL,
  state TEXT NOT NULL, objects_per_day {int} NOT NULL, bytes_per_day {int} NOT NULL, requests_per_minute {int} NOT NULL,
  joined {int} NOT NULL){strict};
CREATE TABLE keys (
  name TEXT PRIMARY KEY, member {int} NOT NULL REFERENCES members (number), purpose TEXT NOT NULL, public TEXT NOT NULL,
  since {int} NOT NULL, retired {int}){strict};
CREATE INDEX keys_member ON keys (member);
CREATE TABLE invitations (
  code {bytes} PRIMARY KEY, roles TEXT NOT NULL, made {int} NOT NULL, expires {int} NOT NULL, used {int},
  member {int} REFERENCES members (number)){strict};
CREATE TABLE tokens (
  secret {bytes} PRIMARY KEY, member {int} NOT NULL REFERENCES members (number), name TEXT NOT NULL, scope TEXT NOT NULL,
  made {int} NOT NULL, expires {int} NOT NULL, revoked {int}, UNIQUE (member, name)){strict};
CREATE TABLE nonces (nonce {bytes} PRIMARY KEY, expires {int} NOT NULL){strict};
CREATE INDEX nonces_expiry ON nonces (expires);
CREATE TABLE used (
  member {int} NOT NULL, day {int} NOT NULL, objects {int} NOT NULL, bytes {int} NOT NULL,
  PRIMARY KEY (member, day)){strict};
CREATE TABLE objects (
  seq {int} PRIMARY KEY, collection {int} NOT NULL REFERENCES collections (number), added {int} NOT NULL,
  current {int} NOT NULL, standing {int} NOT NULL, level {int} NOT NULL, owner {int} NOT NULL, expires {int},
  version {int} NOT NULL, spec TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, stamp TEXT NOT NULL,
  body {bytes} NOT NULL){strict};
CREATE UNIQUE INDEX objects_id ON objects (collection, id, version);
CREATE INDEX objects_added ON objects (collection, added);
CREATE INDEX objects_owner ON objects (collection, owner, added);
CREATE INDEX objects_current ON objects (collection, added) WHERE current = 1;
CREATE INDEX objects_type ON objects (collection, type, added) WHERE current = 1;
CREATE INDEX objects_expiry ON objects (expires) WHERE expires IS NOT NULL;
CREATE TABLE leaves (seq {int} PRIMARY KEY, mark {int} NOT NULL, hash {bytes} NOT NULL){strict};
CREATE INDEX leaves_mark ON leaves (mark);
CREATE TABLE nodes (level {int} NOT NULL, place {int} NOT NULL, hash {bytes} NOT NULL, PRIMARY KEY (level, place)){strict};
CREATE TABLE heads (hour {int} PRIMARY KEY, size {int} NOT NULL, time {int} NOT NULL, text TEXT NOT NULL){strict};
CREATE TABLE retired (
  seq {int} PRIMARY KEY, owner {int} NOT NULL, time {int} NOT NULL, why TEXT NOT NULL){strict};
CREATE TABLE statuses (
  id TEXT PRIMARY KEY, member {int} NOT NULL, root TEXT NOT NULL, expires {int} NOT NULL, body {bytes} NOT NULL){strict};
CREATE INDEX statuses_expiry ON statuses (expires);
CREATE TABLE audit (
  seq {int} PRIMARY KEY, time {int} NOT NULL, member {int} NOT NULL, action TEXT NOT NULL, outcome {int} NOT NULL,
  collection {int}, earliest {int}, latest {int}, count {int} NOT NULL, detail TEXT NOT NULL, hash {bytes} NOT NULL){strict};
CREATE INDEX audit_member ON audit (member, seq);
CREATE TABLE state (
  one {int} PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, secret {bytes} NOT NULL, size {int} NOT NULL,
  peaks {bytes} NOT NULL, added {int} NOT NULL, entries {int} NOT NULL, entry {bytes} NOT NULL){strict};
""",
    """
CREATE TABLE gossip (
  member {int} PRIMARY KEY REFERENCES members (number), time {int} NOT NULL, size {int} NOT NULL,
  envelope {bytes} NOT NULL){strict};
""",
)


async def prepare(store: Store, origin: str) -> None:
    """Make or migrate the tables of the hub whose log is named ``origin``; an origin once written is kept."""
    await migrate(store, PART, STEPS)

    async def job(tx: Tx) -> None:
        await tx.run(
            "INSERT INTO state (one, origin, secret, size, peaks, added, entries, entry) "
            "VALUES (1, $1, $2, 0, $3, 0, 0, $4) ON CONFLICT (one) DO NOTHING",
            origin, secrets.token_bytes(32), b"", EMPTY,
        )  # fmt: skip

    await store.write(job)
