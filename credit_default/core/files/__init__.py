"""Files from outside: which there are, and what each holds before any rule is applied."""
