"""Tables of training data: curated, prepared, checked; and the bundled sample."""
