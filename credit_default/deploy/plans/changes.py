"""What a deploy command changes: announced by a dry run, and carried out by the same command without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What is done with one thing."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Change:
    """One thing, what is done with it, and why.

    Attributes
    ----------
    kind
        What it is: ``environment``, ``batch deployment`` and so on.
    where
        The workspace, registry or lake that it is in.
    to
        What an updated thing says or points at afterwards.
    certain
        Whether it is done in any case. What is not depends on what a run makes, and `why` says on what; its name may
        be only how the whole name begins.
    """

    action: Action
    kind: str
    name: str
    where: str
    why: str = ""
    to: str = ""
    certain: bool = True

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return self.action is not Action.UNCHANGED


@dataclass(frozen=True)
class Report:
    """What a command has to tell: its changes, and what else came of it.

    Attributes
    ----------
    changes
        What would be changed by a dry run; what was changed, otherwise.
    about
        Further facts for whoever goes on with them: versions, addresses, the id of a run.
    """

    command: str
    environment: str
    dry_run: bool
    changes: Sequence[Change]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pending(self) -> bool:
        """Whether a dry run found something to do."""
        return self.dry_run and any_pending(self.changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "command": self.command,
            "environment": self.environment,
            "dry_run": self.dry_run,
            "changes": [asdict(change) for change in self.changes],
            **self.about,
        }


def any_pending(changes: Iterable[Change]) -> bool:
    """Whether any of the changes is one."""
    return any(change.pending for change in changes)
