"""The console: people read what was found, judge it, and put measures in force. Server-rendered pages on Starlette.

app, guard, render      the ASGI app; who may ask what; one answer as HTML or as JSON
results                 what scans and watches wrote, indexed by column and read in parts
desk, schema            every write: one transaction, and one entry in the ledger, with the reason that a person gave
people, staff, passwords, sessions, oidc   who is there, and how they show it
triage, notices         what people think of a campaign; what the console noticed by itself
measures, customers     proposals, approvals, the signed file of orders; whom a measure would touch
casefiles, work         what people decide about cases, done outside the store: once, also after a kill
settings, serve, team   the operator's file; the server; console, watch and gateway started together
campaign/, forum        one campaign, from a result's files to numbers and drawings; what the forum's client keeps
pages/                  one module a room of pages, found by its presence

A module of pages has ``routes() -> list[Route]``. Nothing else is edited for it:

* An endpoint is ``async def name(request) -> Response`` and is marked with what a person must be allowed:
  ``@needs("read")``, or ``"triage"``, ``"propose"``, ``"case"``, ``"approve"``, ``"people"`` (`people.RIGHTS`), or ``@anyone``. A
  route whose endpoint is not marked is refused when the app is made.
* ``return respond(request, "campaign.html", {...})`` renders ``templates/campaign.html``, or for the same path with
  ``.json`` behind it the same mapping as JSON. So a mapping holds plain values (Arrow tables as ``to_pylist()``) and no HTML.
  Account ids and other names that strangers choose travel in the query (``/account?account=…``), never in a path.
* A template extends ``base.html``: blocks ``title``, ``main``; optional ``scripts``. All is escaped; there is no inline script or
  style and no ``style=`` (the content security policy forbids them): SVG attributes and classes. Files of one's own go to
  ``static/`` and are named with ``{{ static('name.js') }}``. Filters: ``num``, ``share``, ``when``, ``day``, ``ago``, ``bits``.
  Macros: ``parts.html``.
* ``request.state.person`` is who asks (`people.Person`: ``name``, ``role``, ``may(right)``), ``request.app.state.results`` the
  results (`results.Results`), ``request.app.state.desk`` the store (`desk.Desk`), ``request.app.state.now()`` the time (µs).
* What is refused is raised: ``Refused(404, "there is no such campaign")`` (`guard`); it comes out as a page or as JSON.
* A form has ``{{ tokens() }}`` in it (a CSRF token; the write's id, by which a form sent twice is done once), a field ``reason``,
  and, where it changes something that has one, its ``version``. ``request.state.form`` has its fields (texts by name).
  The write goes through ``desk.write``; a stale version is answered with 409 and what changed.
"""
