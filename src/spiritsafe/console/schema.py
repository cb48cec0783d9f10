"""The console's tables (`sharing.hub.store` runs the steps). A step is never edited after a release, only added.

``writes`` is both the outbox of the ledger (``seq`` is empty until the entry is on disk) and the memory of what was done: a
form that arrives twice finds its own id. Times are microseconds since the epoch.
"""

from __future__ import annotations

from typing import Final

PART: Final = "console"
STEPS: Final = (
    """
    CREATE TABLE people (
      name TEXT PRIMARY KEY, role TEXT NOT NULL, state TEXT NOT NULL, password TEXT, subject TEXT UNIQUE,
      public TEXT, sealed {bytes}, version {int} NOT NULL, made {int} NOT NULL
    ){strict};
    CREATE TABLE sessions (
      digest {bytes} PRIMARY KEY, person TEXT NOT NULL REFERENCES people (name), csrf TEXT NOT NULL,
      made {int} NOT NULL, seen {int} NOT NULL, ends {int} NOT NULL
    ){strict};
    CREATE TABLE writes (
      n {int} PRIMARY KEY, id TEXT NOT NULL UNIQUE, time {int} NOT NULL, person TEXT NOT NULL, kind TEXT NOT NULL,
      subject TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL, seq {int}
    ){strict};
    CREATE INDEX writes_of ON writes (subject, n);
    CREATE INDEX writes_at ON writes (time);
    CREATE INDEX writes_left ON writes (n) WHERE seq IS NULL;
    CREATE TABLE triage (
      campaign TEXT PRIMARY KEY, state TEXT NOT NULL, reason TEXT NOT NULL, person TEXT NOT NULL,
      time {int} NOT NULL, version {int} NOT NULL
    ){strict};
    CREATE TABLE noticed (
      campaign TEXT PRIMARY KEY, run TEXT NOT NULL, label TEXT NOT NULL, time {int} NOT NULL, accounts {int} NOT NULL,
      exchanges {int} NOT NULL, changed {int} NOT NULL, before TEXT NOT NULL
    ){strict};
    CREATE INDEX noticed_at ON noticed (changed);
    CREATE TABLE proposals (
      id TEXT PRIMARY KEY, order_id TEXT NOT NULL, campaign TEXT NOT NULL, run TEXT NOT NULL, content TEXT NOT NULL,
      state TEXT NOT NULL, person TEXT NOT NULL,
      reason TEXT NOT NULL, time {int} NOT NULL, until {int} NOT NULL, expires {int} NOT NULL, version {int} NOT NULL,
      closed TEXT NOT NULL
    ){strict};
    CREATE INDEX proposals_by ON proposals (state, time);
    CREATE INDEX proposals_of ON proposals (campaign, time);
    CREATE TABLE approvals (
      proposal TEXT NOT NULL REFERENCES proposals (id), person TEXT NOT NULL, time {int} NOT NULL, signature TEXT NOT NULL,
      reason TEXT NOT NULL, PRIMARY KEY (proposal, person)
    ){strict};
    CREATE TABLE jobs (
      id TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, person TEXT NOT NULL, reason TEXT NOT NULL,
      body TEXT NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL, time {int} NOT NULL
    ){strict};
    CREATE INDEX jobs_of ON jobs (subject, time);
    CREATE INDEX jobs_left ON jobs (time) WHERE state = 'waiting';
    """,
)
