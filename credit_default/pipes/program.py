"""The process of a step: how it collects garbage, and how it ends. Most of a small step's time went into the two."""

import atexit
import gc
import os
import sys
from collections.abc import Callable

_DEFAULT = gc.get_threshold()
# A step begins by importing scikit-learn or Evidently: thousands of modules whose objects all stay. To look for garbage
# among them again and again takes a tenth of that time.
gc.set_threshold(200_000, 10, 10)

_is_finished = False


def end_of_imports() -> None:
    """Collect garbage as Python does by default from here on: frames of a large day would be kept alive otherwise."""
    if not gc.get_freeze_count():
        gc.freeze()
    gc.set_threshold(*_DEFAULT)


def run(main: Callable[[], None]) -> None:
    """Run a step as the program of this process, which ends without taking the interpreter apart unless it fails."""
    global _is_finished  # noqa: PLW0603 - read by the handler below
    main()
    _is_finished = True


@atexit.register
def _end() -> None:
    """End the process of a step that is done.

    Handlers that were registered first are called last: by now threads were joined and libraries have written what
    they hold. To free scikit-learn's and pandas' modules one by one takes a third of a small step's time.
    """
    if _is_finished:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
