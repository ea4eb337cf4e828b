"""What we know about credit default. Pure: imports neither dagster nor azure."""
