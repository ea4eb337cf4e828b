"""Monitoring of a model: drift of its days, and its performance once outcomes are known."""
