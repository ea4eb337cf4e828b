"""Shared by assets and automation: what holds for every asset, and how a step's result becomes an event."""
