"""Rooms of pages, one module each: every module here that has ``routes()`` is served."""
