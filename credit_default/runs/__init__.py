"""Starting runs: the Dagster instance, a run in a process of its own, and what persons decide about versions."""
