"""The relay's tables, beside the hub's in one database. Steps are never edited after a release, only added."""

from __future__ import annotations

from typing import Final

PART: Final = "match"
STEPS: Final = (
    """
CREATE TABLE match_ceremonies (
  id TEXT PRIMARY KEY, number {int} NOT NULL UNIQUE, author TEXT NOT NULL, envelope {bytes} NOT NULL, opened {int} NOT NULL,
  state TEXT NOT NULL, why TEXT NOT NULL){strict};
CREATE TABLE match_statements (
  ceremony TEXT NOT NULL REFERENCES match_ceremonies (id), kind TEXT NOT NULL, author TEXT NOT NULL, id TEXT NOT NULL,
  envelope {bytes} NOT NULL, added {int} NOT NULL, PRIMARY KEY (ceremony, kind, author)){strict};
CREATE TABLE match_epochs (
  id TEXT PRIMARY KEY, number {int} NOT NULL UNIQUE, ceremony TEXT NOT NULL, certificate {bytes} NOT NULL,
  valid_from {int} NOT NULL, valid_until {int} NOT NULL){strict};
CREATE TABLE match_destroyed (
  epoch TEXT NOT NULL, author TEXT NOT NULL, envelope {bytes} NOT NULL, PRIMARY KEY (epoch, author)){strict};
CREATE TABLE match_requests (
  id TEXT PRIMARY KEY, epoch TEXT NOT NULL, author TEXT NOT NULL, class TEXT NOT NULL, count {int} NOT NULL,
  needed {int} NOT NULL, envelope {bytes} NOT NULL, elements {bytes} NOT NULL, added {int} NOT NULL,
  expires {int} NOT NULL){strict};
CREATE INDEX match_requests_expiry ON match_requests (expires);
CREATE TABLE match_leases (
  request TEXT NOT NULL REFERENCES match_requests (id) ON DELETE CASCADE, holder TEXT NOT NULL, until {int} NOT NULL,
  state TEXT NOT NULL, envelope {bytes}, elements {bytes}, PRIMARY KEY (request, holder)){strict};
CREATE TABLE match_counts (
  epoch TEXT NOT NULL, author TEXT NOT NULL, class TEXT NOT NULL, day {int} NOT NULL, count {int} NOT NULL,
  PRIMARY KEY (epoch, author, class, day)){strict};
CREATE TABLE match_sets (
  epoch TEXT NOT NULL, purpose TEXT NOT NULL, author TEXT NOT NULL, version {int} NOT NULL, envelope {bytes} NOT NULL,
  tags {bytes} NOT NULL, until {int} NOT NULL, PRIMARY KEY (epoch, purpose, author)){strict};
CREATE TABLE match_messages (
  epoch TEXT NOT NULL, purpose TEXT NOT NULL, about TEXT NOT NULL, author TEXT NOT NULL, recipient TEXT NOT NULL,
  made {int} NOT NULL, envelope {bytes} NOT NULL, box {bytes} NOT NULL,
  PRIMARY KEY (epoch, purpose, about, author, recipient)){strict};
""",
)
