"""Dagster in containers on one machine, behind a proxy that asks for a login; see README.md."""
