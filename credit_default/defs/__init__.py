"""What exists and when it runs. Thin: what a thing means is in ``core``, how it is made is in ``steps``."""
