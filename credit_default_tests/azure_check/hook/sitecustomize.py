"""Lets a Python process that the check starts, such as a run of Dagster, record what it asks; Python imports this."""

import os

from credit_default_tests.azure_check import recording

if recording.VARIABLE in os.environ:
    recording.install(recording.recorder_of(os.environ))
