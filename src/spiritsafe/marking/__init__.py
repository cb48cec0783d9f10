"""Marks in a model's answers: keys, the pseudorandom numbers that they give, and what draws answers by them.

Both who marks (model servers, the gateway) and who looks for marks (``provenance/``) build on this; it imports no
analytics engine, and PyTorch only where a function is handed tensors.
"""
