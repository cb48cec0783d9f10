"""The inline server: a reverse proxy that names each caller and takes requests within limits.

``app.Gateway`` stands before another server; ``app.SpiritsafeMiddleware`` mounts the same thing in an ASGI server.
"""
