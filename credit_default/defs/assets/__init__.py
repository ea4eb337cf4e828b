"""What exists: the assets of the lineage graph, a module for each group."""
