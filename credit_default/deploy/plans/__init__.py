"""Plans of the deploy commands: pure comparisons of what is wanted with what is there."""
