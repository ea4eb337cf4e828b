"""Promotion: gates, comparison, decisions and the ledger."""
