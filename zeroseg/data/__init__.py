"""Bytes in, tensors out. No models."""
