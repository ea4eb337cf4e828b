"""What a step reports and how it travels: both ends of the wire between a step and the run that started it."""
