"""Telemetry: its records, what sends them, and collected online requests on their way through it."""
