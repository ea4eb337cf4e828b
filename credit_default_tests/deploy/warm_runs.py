"""Runs of jobs that commands launch, each in a process of its own that has imported what it needs: that takes seconds.

`launching.launch` starts a new Python for each; the guide and the workflows are tested with that.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["credit_default.run_job", "azure.ai.ml", "azure.storage.blob", "pyarrow.parquet"])


def run(command: Sequence[str], *, stdout: Any, stderr: Any, check: bool) -> SimpleNamespace:
    """Do what `subprocess.run` does with the command of `launching.launch`."""
    program, arguments = command[1:3], list(command[3:])
    assert (program, stdout, check) == (["-m", "credit_default.run_job"], stderr, False)
    process = _PROCESSES.Process(target=_run, args=(arguments, dict(os.environ), stdout.name))
    process.start()
    process.join()
    return SimpleNamespace(returncode=process.exitcode)


def _run(arguments: list[str], environment: Mapping[str, str], log: str) -> None:
    from credit_default import run_job

    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("ab") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    run_job.main(arguments)
