"""What is missing of versioned assets: a pure comparison of what is wanted with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from credit_default.deploy.changes import Action, Change


def plan(kind: str, where: str, wanted: Iterable[str], there: Collection[str]) -> list[Change]:
    """Return a change for each version that is wanted. A version is named after its content, and never changes.

    Parameters
    ----------
    wanted
        ``name:version`` of each.
    there
        Those of them that there are.
    """
    return [plan_one(kind, where, name, is_there=name in there) for name in wanted]


def plan_one(kind: str, where: str, name: str, *, is_there: bool) -> Change:
    """Return the change for a thing that is either there, and then as it should be, or not."""
    if is_there:
        return Change(Action.UNCHANGED, kind, name, where, "it is there, and of this very content")
    return Change(Action.CREATE, kind, name, where, "nothing of this content is there")
