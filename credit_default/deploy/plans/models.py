"""What it takes to bring a version from the workspace that trained it to the one that lives by it: pure comparisons.

The shared registry is in between. A version enters it when it may go live where it was trained, and leaves it for
production when its verdict says so, or a person does.
"""

from __future__ import annotations

from collections.abc import Sequence

from credit_default.core.promotion.ledger import Ledger
from credit_default.defs.assets.deployment import why_not_live
from credit_default.defs.assets.model import VERDICT
from credit_default.deploy.plans.changes import Action, Change
from credit_default.deploy.plans.deployment import Choice
from credit_default.errors import NotAllowed, NotThere
from credit_default.ports import ModelVersion


def plan_share(registry: str, choice: Choice, *, shared: bool) -> list[Change]:
    """Return what changes so that the chosen version is in the shared registry.

    Parameters
    ----------
    shared
        Whether it is there already.
    """
    if choice.model is None:
        return [Change(Action.UNCHANGED, "model", "none", registry, choice.why)]
    name = f"{choice.model.name}:{choice.model.version}"
    if shared:
        return [Change(Action.UNCHANGED, "model", name, registry, "this very file is there")]
    return [Change(Action.CREATE, "model", name, registry, choice.why)]


def plan_promote(
    where: str,
    shared: ModelVersion,
    versions: Sequence[ModelVersion],
    ledger: Ledger,
    *,
    following: str,
    approval: str | None,
) -> list[Change]:
    """Return what changes so that a shared version is registered here, and may go live.

    Parameters
    ----------
    where
        The workspace.
    shared
        The version as the shared registry has it.
    versions
        Those that are registered here.
    following
        The number that the next one gets.
    approval
        Why a person lets a version go live whose verdict is hold; None when nobody does.

    Raises
    ------
    NotAllowed
        The version may not go live.
    """
    known = next((one for one in versions if one.sha256 == shared.sha256), None)
    here = known or ModelVersion(shared.name, following, "", shared.sha256, shared.tags)
    # The ledger of this workspace knows nothing of a version that is not here yet.
    why = why_not_live(here, ledger if known else Ledger())
    verdict, of_registry = here.tags.get(VERDICT, "missing"), f"Version {shared.version} of the shared registry"
    approves = why is not None and verdict == "hold" and approval is not None
    if why is not None and not approves:
        told = "its verdict is hold; a person may approve it: --approve REASON" if verdict == "hold" else why
        raise NotAllowed(f"{of_registry} may not go live here: {told}")
    if approval is not None and verdict != "hold":
        raise NotAllowed(f"{of_registry} needs no approval: its verdict is {verdict}; leave out --approve")
    name = f"{shared.name}:{here.version}"
    if known:
        changes = [Change(Action.UNCHANGED, "model", name, where, "this very file is there")]
    else:
        told = f"version {shared.version} of the shared registry; its verdict is {verdict}"
        changes = [Change(Action.CREATE, "model", name, where, told)]
    if approves:
        changes.append(Change(Action.UPDATE, "ledger", "approvals", where, str(approval), here.version))
    return changes


def must_be_there(shared: ModelVersion | None, registry: str, version: str) -> ModelVersion:
    """Return a shared version; raises `NotThere` when the registry has none."""
    if shared is None:
        raise NotThere(
            f"Registry {registry} has no version {version} of the model; share it from the workspace that trained it: "
            "`credit-default deploy model share`"
        )
    return shared
