"""The contract of rows from outside: ids, numbers, columns, and what is not accepted."""
