"""What is missing of versioned assets: a pure comparison of what is wanted with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from credit_default.deploy.plans.changes import Action, Change


def plan(kind: str, where: str, wanted: Iterable[str], there: Collection[str]) -> list[Change]:
    """Return a change for each version that is wanted. A version is named after its content, and never changes.

    Parameters
    ----------
    wanted
        ``name:version`` of each.
    there
        Those of them that there are.
    """
    told = {True: "it is there, and of this very content", False: "nothing of this content is there"}
    return [plan_one(kind, where, name, is_there=name in there, why=told[name in there]) for name in wanted]


def plan_one(kind: str, where: str, name: str, *, is_there: bool, why: str | None = None) -> Change:
    """Return the change for a thing that is either there, and then as it should be, or not."""
    if is_there:
        return Change(Action.UNCHANGED, kind, name, where, why or "it is there")
    return Change(Action.CREATE, kind, name, where, why or "there is none yet")
