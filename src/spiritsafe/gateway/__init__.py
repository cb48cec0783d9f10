"""The inline server: a reverse proxy that decides on each exchange, binds artefacts and writes the exchange log.

``Gateway`` stands before another server; ``SpiritsafeMiddleware`` mounts the same thing in an ASGI server.
"""
