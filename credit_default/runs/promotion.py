"""What a person does about versions by command: approve or refuse one, go back, look up what was live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from credit_default.core import lake
from credit_default.core.promotion.ledger import Ledger, LedgerEntry
from credit_default.defs.assets.deployment import why_not_live
from credit_default.defs.assets.evaluation import Evaluation
from credit_default.defs.assets.model import VERDICT
from credit_default.errors import NotAllowed, NotThere
from credit_default.ports import EndpointState, ModelRegistry, ModelVersion, Storage
from credit_default.resources import ledger as ledgers
from credit_default.resources import resources_for
from credit_default.runs.instance import enter
from credit_default.runs.launching import launch, login
from credit_default.settings import Settings

Decision = Literal["approve", "refuse"]


@dataclass(frozen=True)
class Champion:
    """The entry by which a version became live, and what answers instead when the ledger does not know that yet."""

    entry: LedgerEntry
    ledger: Ledger
    answers: str | None = None


@dataclass(frozen=True)
class Decided:
    """What was decided about a version, the criteria that it did not meet, and what comes next."""

    entry: LedgerEntry
    verdict: str
    unmet: Sequence[dict[str, Any]]
    following: str


@dataclass(frozen=True)
class RolledBack:
    """What is live after a rollback; ``run_id`` is None when there was nothing to do."""

    live_version: str
    previous_version: str | None
    run_id: str | None
    following: str


def history(settings: Settings) -> Ledger:
    """Return the ledger of promotions, whatever state it is in."""
    return ledgers.read(resources_for(settings)["storage"])


def champion(settings: Settings, at: datetime | None = None) -> Champion:
    """Return what was live at a moment by the ledger; for the present one the endpoint is asked, too.

    Raises
    ------
    NotThere
        Nothing was live then.
    """
    ports = resources_for(settings)
    ledger, moment = ledgers.read(ports["storage"]), at or datetime.now(UTC)
    found = ledger.champion_at(moment)
    if found is None:
        where = ports["storage"].uri(lake.LEDGER)
        begins = f"it begins at {_told(ledger.entries[0].at)}" if ledger.entries else f"nothing is entered in {where}"
        raise NotThere(
            f"By the ledger of promotions nothing was live at {_told(moment)}; {begins}. What becomes live is entered "
            "by the job deploy_model"
        )
    live = ports["endpoint"].state().default if at is None else found.to_version
    return Champion(found, ledger, None if live == found.to_version else live or "none")


def decide(settings: Settings, decision: Decision, version: str, reason: str) -> Decided:
    """Enter what a person decides about a version: once, however often he says so.

    Raises
    ------
    NotAllowed
        The version cannot be approved, by its verdict, or cannot be refused, since it is live.
    LedgerError
        The ledger was changed by other hands than ours.
    """
    ports, who = resources_for(settings), login()
    registry, storage = ports["registry"], ports["storage"]
    model = registry.get(version)
    with ledgers.held(storage) as writer:
        last = writer.ledger.decision_on(model.version)
        if decision == "approve":
            _must_be_approvable(model, last)
        elif ports["endpoint"].state().default == model.version:
            raise NotAllowed(
                f"Version {model.version} is live, and refusing it would not change that; go back first: "
                "`credit-default models rollback`"
            )
        if last is not None and (last.action, last.who, last.reason) == (decision, who, reason):
            entry = last
        else:
            entry = writer.enter(decision, model.version, who=who, reason=reason)
        ledger = writer.ledger
    following = _after_decision(model, ledger, registry)
    return Decided(entry, model.tags.get(VERDICT, "missing"), _unmet(storage, model.version), following)


def roll_back(settings: Settings, to: str | None, reason: str) -> RolledBack:
    """Let an earlier version answer again, by a run of the job `rollback_model` in a process of its own.

    Raises
    ------
    JobFailed
        The run failed, for the reason that is told; what was live still is.
    NotThere
        There is no such version.
    """
    ports = resources_for(settings)
    state: EndpointState = ports["endpoint"].state()
    wanted = ports["registry"].get(to).version if to is not None else None
    if wanted is not None and wanted == state.default:
        return RolledBack(wanted, state.previous, None, f"Version {wanted} was live already.")
    config = {"direction": "back", "reason": reason, **({"version": wanted} if wanted else {})}
    if state.default is None:
        raise NotThere(f"Nothing is deployed in {settings.place}, so there is nothing to go back from")
    enter(settings)
    asked = {"ops": {"batch_deployment": {"config": config}}}
    run_id = launch("rollback_model", settings.home / "rollback.log", config=asked)
    state = ports["endpoint"].state()
    assert state.default is not None
    return RolledBack(state.default, state.previous, run_id, _after_rollback(state, ports))


def _must_be_approvable(model: ModelVersion, last: LedgerEntry | None) -> None:
    verdict = model.tags.get(VERDICT, "missing")
    refused = last is not None and last.action == "refuse"
    if verdict == "hold" or (verdict == "promote" and refused):
        return
    if verdict == "promote":
        raise NotAllowed(f"Version {model.version} needs no approval: its verdict is promote. The job is deploy_model")
    raise NotAllowed(
        f"Version {model.version} cannot be approved: its verdict is {verdict}, and a person may approve what was held "
        "and nothing else; see registered_model for the criteria that it did not meet"
    )


def _after_decision(model: ModelVersion, ledger: Ledger, registry: ModelRegistry) -> str:
    newest = registry.versions()[0].version
    if why_not_live(model, ledger) is not None:
        return f"Version {model.version} does not go live; the job deploy_model leaves the deployment as it is."
    if model.version == newest:
        return f"The job deploy_model lets version {model.version} go live, the newest."
    return (
        f"The job deploy_model lets version {model.version} go live when its configuration names that version; by "
        f"itself it takes the newest, {newest}."
    )


def _after_rollback(state: EndpointState, ports: dict[str, Any]) -> str:
    newest = ports["registry"].versions()[0]
    if newest.version == state.default or why_not_live(newest, ledgers.read(ports["storage"])) is not None:
        return ""
    return (
        f"The job deploy_model would let version {newest.version} go live, the newest; "
        f"`credit-default models refuse {newest.version}` keeps it from that."
    )


def _unmet(storage: Storage, version: str) -> list[dict[str, Any]]:
    """Return the criteria that a version did not meet, as they are stored with its verdict."""
    try:
        verdict = Evaluation.read(storage.read(lake.verdict(version))).verdict
    except NotThere:
        return []
    return [criterion for criterion in verdict.as_dict()["criteria"] if not criterion["passed"]]


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
