"""Spiritsafe: find, limit, prove and share adversarial distillation of language models."""

__version__ = "0.1.0"
