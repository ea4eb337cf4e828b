"""Tables and progress on the terminal, all of them read from stored results."""
