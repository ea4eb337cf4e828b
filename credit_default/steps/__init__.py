"""What runs on compute: one program a file, the same on a laptop, by hand, and in an Azure ML job.

A step takes paths and days as arguments, writes below ``--output`` and reports what it stored. It never writes
to the lake itself: whoever started it publishes what was reported, whole or not at all.
"""

# First of all, since it decides how imports are made.
from credit_default.pipes import program as program
