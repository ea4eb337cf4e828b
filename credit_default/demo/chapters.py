"""What the story of `make demo` is made of: each chapter is a job."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Chapter:
    """One job of the story.

    Attributes
    ----------
    events
        How many materialisations it makes.
    arguments
        Further ones of `credit_default.runs.run_job`.
    """

    title: str
    job: str
    events: int
    arguments: tuple[str, ...] = ()


class ChapterFailed(Exception):
    """A job of the story failed."""


def with_trials(trials: int) -> str:
    """Return the run configuration of a job that trains."""
    return json.dumps({"ops": {"trained_model": {"config": {"trials": trials}}}})
