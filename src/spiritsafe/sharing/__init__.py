"""Rivals warn each other of behaviour and infrastructure, and learn nothing else of each other."""
