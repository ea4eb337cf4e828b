"""Lineage: from a prediction to its row, its file, its model, its promotion and its runs."""
