"""The inline server: a reverse proxy that decides on each exchange, binds artefacts and writes the exchange log.

``spiritsafe gateway`` runs it as processes of its own; ``SpiritsafeMiddleware`` mounts the same thing in an ASGI server.
"""
