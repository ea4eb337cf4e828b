"""Finding everything that is kept of one client."""
