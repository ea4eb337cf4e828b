"""What it takes to let a version of the model answer: a pure comparison of what is wanted with what is there.

It follows what the assets `batch_deployment` and `online_deployment` do, which carry it out; the tests hold the two to
each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from credit_default.core.promotion.ledger import Ledger, must_be_whole
from credit_default.defs.assets.deployment import why_not_live
from credit_default.deploy.plans.changes import Action, Change
from credit_default.errors import ModelError, NotAllowed, NotThere
from credit_default.ports import ModelVersion
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.endpoints.deployments import EndpointSnapshot

_FAILED = "Failed"


@dataclass(frozen=True)
class Choice:
    """The version that is to answer, or None when that is to stay as it is; and why."""

    model: ModelVersion | None
    why: str


@dataclass(frozen=True)
class Needs:
    """What there is of what a new deployment is made of.

    Attributes
    ----------
    environment
        ``name:version`` of the environment that it runs in.
    """

    environment: str
    environment_is_there: bool


def choose(versions: Sequence[ModelVersion], ledger: Ledger, asked: str | None) -> Choice:
    """Return the version that was asked for, or the newest when its verdict and persons allow it.

    Parameters
    ----------
    versions
        Every registered version, newest first.

    Raises
    ------
    NotAllowed
        The version that was asked for may not go live.
    NotThere
        There is no such version.
    """
    if asked is None:
        if not versions:
            raise NotThere("No version of the model is registered; run the job train_model to make one")
        newest = versions[0]
        why = why_not_live(newest, ledger)
        if why is not None:
            return Choice(None, f"version {newest.version}, the newest, may not go live: {why}")
        return Choice(newest, f"version {newest.version} is the newest, and its verdict allows it")
    model = next((one for one in versions if one.version == asked), None)
    if model is None:
        have = ", ".join(one.version for one in versions) or "none"
        raise NotThere(f"The registry has no version {asked!r} of the model; versions there: {have}")
    why = why_not_live(model, ledger)
    if why is not None:
        raise NotAllowed(f"Version {model.version} may not go live: {why}")
    return Choice(model, f"version {model.version} was asked for")


def is_missing(look: EndpointSnapshot, model: ModelVersion) -> bool:
    """Whether the deployment of a version has to be made, with the present code.

    Raises
    ------
    ModelError
        There is one of this name, and of another model.
    """
    name = deployments.name_of(model.version, look.code)
    held = look.deployments.get(name)
    if held is None or held.state == _FAILED:
        return True
    if held.sha256 != model.sha256:
        raise ModelError(
            f"Deployment {name} of {look.name} is of another model (sha256 {str(held.sha256)[:12]}..., expected "
            f"{model.sha256[:12]}...); remove that deployment in the studio, and run this again"
        )
    return False


def goes_live(look: EndpointSnapshot, model: ModelVersion | None) -> bool:
    """Whether another version, or the same with other code, is to answer."""
    state = look.state
    return model is not None and (model.version != state.default or state.outdated)


def plan_batch(
    where: str, look: EndpointSnapshot, choice: Choice, needs: Needs | None, *, ledger: Ledger, champion: str | None
) -> list[Change]:
    """Return what changes so that the chosen version answers at the batch endpoint, is the champion, and is entered.

    Parameters
    ----------
    where
        The workspace.
    needs
        Of the deployment, when it :func:`is_missing`.
    champion
        The version that has this alias.

    Raises
    ------
    LedgerError
        Something has to be entered into a ledger that cannot be relied on.
    NotThere
        Nothing answers, and nothing may.
    """
    state, model = look.state, choice.model
    if model is None and state.default is None:
        raise NotThere(f"Nothing is live, and nothing may be: {choice.why}")
    found = []
    if state.default is not None and state.default != ledger.live:
        found.append(_entry(where, state.default, "it went live past the ledger"))
    if model is None or not goes_live(look, model):
        why = choice.why if model is None else f"version {model.version} answers already"
        changes = [Change(Action.UNCHANGED, "batch deployment", str(look.default), where, why), *found]
        live = state.default
    else:
        live, known = model.version, state.default or ledger.live
        entered = [_entry(where, live, choice.why)] if live != known else []
        changes = [
            *_put_beside("batch", where, look, model, needs),
            *found,
            _answer("batch", where, look, model),
            *entered,
            *_removed("batch", where, look, model),
        ]
    if found or goes_live(look, model):
        must_be_whole(ledger)
    if champion != live:
        told = f"version {champion} was" if champion else "no version was"
        changes.append(Change(Action.UPDATE, "alias", "champion", where, told, str(live)))
    return changes


def plan_online(where: str, look: EndpointSnapshot, model: ModelVersion | None, needs: Needs | None) -> list[Change]:
    """Return what changes so that the version that is live at the batch endpoint answers at the online endpoint, too.

    Raises
    ------
    NotThere
        Nothing is live at the batch endpoint.
    """
    if model is None:
        raise NotThere("Nothing is live at the batch endpoint; run `credit-default deploy deployment` first")
    if not goes_live(look, model):
        why = f"version {model.version} answers already"
        return [Change(Action.UNCHANGED, "online deployment", str(look.default), where, why)]
    return [
        *_put_beside("online", where, look, model, needs),
        _answer("online", where, look, model),
        *_removed("online", where, look, model),
    ]


def _put_beside(
    kind: str, where: str, look: EndpointSnapshot, model: ModelVersion, needs: Needs | None
) -> list[Change]:
    """Return what it takes that a deployment is there and has scored its golden rows."""
    changes = []
    name = deployments.name_of(model.version, look.code)
    if not look.there:
        changes.append(Change(Action.CREATE, f"{kind} endpoint", look.name, where, "there is none yet"))
    if is_missing(look, model):
        assert needs is not None, "what a new deployment is made of has to be known"
        if not needs.environment_is_there:
            changes.append(Change(Action.CREATE, "environment", needs.environment, where, "its content is new"))
        failed = name in look.deployments
        action, told = (Action.UPDATE, "it had failed") if failed else (Action.CREATE, "beside what answers now")
        changes.append(Change(action, f"{kind} deployment", name, where, told))
    else:
        changes.append(Change(Action.UNCHANGED, f"{kind} deployment", name, where, "it is there, and does not answer"))
    told = "its golden rows must score as in training before it answers"
    return [*changes, Change(Action.CREATE, "smoke test", name, where, told)]


def _answer(kind: str, where: str, look: EndpointSnapshot, model: ModelVersion) -> Change:
    before = f"{look.default} answers now" if look.default else "nothing answers yet"
    deployment = deployments.name_of(model.version, look.code)
    return Change(Action.UPDATE, f"{kind} endpoint", look.name, where, before, deployment)


def _entry(where: str, version: str, why: str) -> Change:
    return Change(Action.UPDATE, "ledger", "promotions", where, why, version)


def _removed(kind: str, where: str, look: EndpointSnapshot, model: ModelVersion) -> list[Change]:
    """Return the deployments that go once this one answers."""
    state, answers = look.state, deployments.name_of(model.version, look.code)
    names = [*look.deployments, *([] if answers in look.deployments else [answers])]
    previous = state.previous if model.version == state.default else state.default
    if kind == "batch":
        gone = deployments.superfluous(names, answers, previous)
    else:
        gone = deployments.superfluous_online(names, answers, previous, look.code)
    return [Change(Action.DELETE, f"{kind} deployment", name, where, "nobody goes back to it") for name in gone]
