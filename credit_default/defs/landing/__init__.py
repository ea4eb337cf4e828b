"""Landing folders as the graph sees them: days that are new, changed, refused or withdrawn."""
