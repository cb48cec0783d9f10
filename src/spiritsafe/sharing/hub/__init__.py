"""The forum's hub: a TAXII 2.1 server whose store, log and audit are one transaction, run by a member nobody need trust.

store, sqlite, postgresql   one writer, many readers, the same SQL
schema                      tables and their migrations
log, audit                  Merkle log of what was added; chained record of who did and asked what
members, credentials        who may, and how they show who they are
intake, shelf               objects on their way in, and where they lie
query, taxii, forum         what is asked, and the two sets of routes
reception, app, serve       one request; the ASGI app; the server
verify, copies              checks and copies of a whole store
proofs, tokens              what members' clients need of all this: standard library and attest only
"""
