"""The `credit-default` command: a module for each group of commands."""
