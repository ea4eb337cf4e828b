"""What runs on compute: one program a file, the same on a laptop, by hand, and in an Azure ML job.

A step takes paths and days as arguments, writes below ``--output`` and reports what it stored. It never writes
to the lake itself: whoever started it publishes what was reported, whole or not at all.
"""

import gc

# A step begins by importing scikit-learn or Evidently: thousands of modules whose objects all stay. To look for garbage
# among them again and again takes a tenth of that time.
gc.set_threshold(200_000, 10, 10)
