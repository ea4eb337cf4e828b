"""Which version is live at the batch endpoint, and the ledger of how it came to be."""

from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from credit_default.core.model.model_folder import MANIFEST_TAG
from credit_default.core.promotion.ledger import Ledger, must_be_whole
from credit_default.defs.assets.model import VERDICT
from credit_default.defs.shared import metadata
from credit_default.defs.shared.policies import spec
from credit_default.defs.shared.recording import Events
from credit_default.errors import NotAllowed, NotThere
from credit_default.ports import BatchEndpoint, EndpointState, ModelRegistry, ModelVersion, Storage
from credit_default.resources import ledger as ledgers
from credit_default.resources.ledger import LedgerWriter

#: Tags of a run: why it was asked for, and which person did; the ledger tells both.
WHY, ASKED_BY = "credit_default/why", "credit_default/asked_by"
_NEWEST, _NAMED = "the newest version, if its verdict allows", "the version that was asked for"


class Deployment(dg.Config):
    """Which version goes live."""

    version: str | None = Field(None, description="Version to deploy; by default the newest, if its verdict allows.")
    direction: Literal["forward", "back"] = Field(
        "forward",
        description="`back` deploys the version that was live before the present one, or the one that is named.",
    )
    reason: str = Field("", description="Why, for whoever reads the history.")


@dg.multi_asset(
    name="batch_deployment",
    specs=[
        spec(
            "batch_deployment",
            group="model",
            kinds={"python"},
            deps=["registered_model"],
            description=(
                "Which registered version answers at the batch endpoint (the champion), and the one before it. A "
                "version is put beside the live one and must score its golden rows as in training before it goes live. "
                "Whatever becomes live is in the ledger of promotions, `models/ledger.jsonl`."
            ),
        )
    ],
)
def batch_deployment(
    context: dg.AssetExecutionContext,
    config: Deployment,
    storage: Storage,
    registry: ModelRegistry,
    endpoint: BatchEndpoint,
) -> Events:
    """Deploy the chosen version, if its verdict and persons allow it; otherwise leave the deployment as it is."""
    before, ledger = endpoint.state(), ledgers.read(storage)
    root = context.run.root_run_id or context.run.run_id
    chosen = _choose(config, registry, before, root, ledger)
    smoke: Any = None
    if chosen is None:
        context.log.warning("The newest version may not be promoted; the deployment stays as it is.")
    elif chosen.version != before.default or before.outdated:
        must_be_whole(ledger)
        smoke = endpoint.deploy(context, chosen)
    wish = PromotionRequest(
        chosen,
        flip=smoke is not None,
        action="rollback" if config.direction == "back" else "promote",
        who=context.run.tags.get(ASKED_BY, f"run {root}"),
        # A run that a sensor asked for says why.
        reason=config.reason or context.run.tags.get(WHY) or (_NEWEST if config.version is None else _NAMED),
        root=root,
    )
    ledger = _go_live(wish, storage, endpoint)
    state, champion = _sync_champion_alias(endpoint, registry)
    if chosen is not None and chosen.version != champion.version:
        context.log.warning(
            f"Version {chosen.version} was live and is not any more: run {state.changed_by} put another in its place."
        )
    context.log.info(f"Live: version {state.default}; before it: {state.previous or 'none'}.")
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(champion.sha256[:16]),
        metadata={
            **metadata.deployed(champion, before, state, smoke, wish.reason, who=wish.who),
            **metadata.promotions(ledger),
        },
    )


@dataclass(frozen=True)
class PromotionRequest:
    """What a run wants to be live, and what the ledger is to say of it; nothing changes unless ``flip``."""

    model: ModelVersion | None
    flip: bool
    action: Literal["promote", "rollback"]
    who: str
    reason: str
    root: str


def _choose(
    config: Deployment, registry: ModelRegistry, state: EndpointState, root: str, ledger: Ledger
) -> ModelVersion | None:
    """Return the version that is to be live, or None when the deployment is to stay as it is.

    Without a word of the user only the newest version is considered: an older one that may be promoted is either
    live already, or was rolled back for a reason.
    """
    if config.direction == "back":
        entered = any(entry.run_id == root and entry.action == "rollback" for entry in ledger.entries)
        if state.default is not None and (entered or state.changed_by == root):
            return registry.get(state.default)  # an attempt of this very run went back, and crashed afterwards
        wanted = config.version or state.previous
        if wanted is None:
            raise NotThere("There is no earlier deployment to go back to")
        return _allowed(registry.get(wanted), ledger, was_live=config.version is None or ledger.was_live(wanted))
    if config.version is not None:
        return _allowed(registry.get(config.version), ledger)
    newest = next(iter(registry.versions()), None)
    return newest if newest is not None and why_not_live(newest, ledger) is None else None


def _allowed(model: ModelVersion, ledger: Ledger, *, was_live: bool = False) -> ModelVersion:
    """Return the version; raises `NotAllowed` when it may not go live."""
    why = why_not_live(model, ledger, was_live=was_live)
    if why is not None:
        raise NotAllowed(f"Version {model.version} may not go live: {why}")
    return model


def why_not_live(model: ModelVersion, ledger: Ledger, *, was_live: bool = False) -> str | None:
    """Return why a version may not go live, or None; what a person decided last counts more than the verdict."""
    decision, verdict = ledger.decision_on(model.version), model.tags.get(VERDICT, "missing")
    if decision is not None and decision.action == "refuse":
        return f"{decision.who} refused it at {decision.at.isoformat(timespec='seconds')} ({decision.reason})"
    approved = decision is not None and verdict == "hold"
    if verdict == "promote" or approved or was_live:
        return None
    remedy = ", or approve it by `credit-default models approve`" if verdict == "hold" else ""
    return f"its verdict is {verdict}; see registered_model for the criteria that it did not meet{remedy}"


def _go_live(wish: PromotionRequest, storage: Storage, endpoint: BatchEndpoint) -> Ledger:
    """Let the version answer, if that is wanted, and enter into the ledger whatever became live.

    The ledger is held meanwhile, so that a run that is killed in between leaves one difference at most, which whoever
    comes next enters, and a person who refuses the version either comes before it or is told that it is live.
    """
    with ledgers.held(storage) as writer:
        _record(writer, endpoint.state(), wish)
        if wish.flip and wish.model is not None:
            _allowed(wish.model, must_be_whole(writer.ledger), was_live=wish.action == "rollback")
            _record(writer, endpoint.make_default(wish.model.version, changed_by=wish.root), wish)
        return writer.ledger


def _record(writer: LedgerWriter, state: EndpointState, wish: PromotionRequest) -> None:
    """Enter what answers now, unless the ledger says so already."""
    if state.default is None or state.default == writer.ledger.live:
        return
    if wish.model is not None and wish.model.version == state.default and state.changed_by == wish.root:
        writer.enter(
            wish.action,
            state.default,
            who=wish.who,
            reason=wish.reason,
            run_id=wish.root,
            manifest_sha256=wish.model.tags.get(MANIFEST_TAG) or None,
        )
    else:
        # In the studio, by an older release, or by a run that was killed before it could write.
        named = f"run {state.changed_by}" if state.changed_by else "nobody"
        reason = f"went live past this ledger; the endpoint names {named} as who changed it last"
        writer.enter("found", state.default, who="unknown", reason=reason, run_id=wish.root)


def _sync_champion_alias(endpoint: BatchEndpoint, registry: ModelRegistry) -> tuple[EndpointState, ModelVersion]:
    """Make the version that answers the champion.

    Looked at until both are the same: whoever deploys at this moment, by another Dagster, may come in between.
    """
    while True:
        state = endpoint.state()
        if state.default is None:
            raise NotThere(
                "Nothing is live: no registered version passed its gates. See the verdict at registered_model"
            )
        champion = registry.get(state.default)
        if "champion" in champion.aliases:
            return state, champion
        registry.set_alias("champion", champion.version)


ASSETS: list[Any] = [batch_deployment]
