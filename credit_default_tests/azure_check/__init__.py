"""`make azure-check`: the platform played once on a real workspace, and what Azure answered held to what was assumed.

See `docs/azure-check.md`.
"""
