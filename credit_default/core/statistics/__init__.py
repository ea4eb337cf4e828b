"""Statistics: bins of a sample, population stability, and figures of a credit model."""
