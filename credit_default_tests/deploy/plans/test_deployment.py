"""What is planned for a deployment is enough, is needed, and is allowed: whatever is there, and however it came so.

`carried_out` is the meaning of an announcement, on a plain model of what is there. That Azure and the platform's own
jobs do the same is held by `test_replayed_deployments.py`, which brings such worlds about in the emulator and lets the
command carry out what it announced.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from credit_default.core.promotion.ledger import Draft, Ledger, append, read
from credit_default.defs.assets.deployment import why_not_live
from credit_default.deploy.plans.changes import Action, Change, any_pending
from credit_default.deploy.plans.deployment import Choice, Needs, choose, goes_live, is_missing, plan_batch, plan_online
from credit_default.errors import LedgerError, ModelError, NotAllowed, NotThere
from credit_default.ports import ModelVersion
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.endpoints.deployments import Deployed, EndpointSnapshot

NOW, OLD = "a" * 12, "b" * 12
ENVIRONMENT = "credit-card-default-score:0123456789ab"
NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
VERSIONS = [str(number) for number in range(1, 13)]


@dataclass(frozen=True)
class World:
    """What is there: the workspace's models, its endpoint, the ledger, the alias and the environment."""

    models: tuple[ModelVersion, ...]
    endpoint: EndpointSnapshot = field(default_factory=lambda: EndpointSnapshot("be", NOW))
    ledger: bytes = b""
    champion: str | None = None
    environments: frozenset[str] = frozenset()

    def model(self, version: str) -> ModelVersion:
        return next(one for one in self.models if one.version == version)

    def entered(self, action: str, version: str) -> World:
        draft = Draft(action=action, to_version=version, who="somebody", reason="so")
        return replace(self, ledger=append(self.ledger, draft, NOON))


def needs(world: World, model: ModelVersion | None) -> Needs | None:
    if model is None or not goes_live(world.endpoint, model) or not is_missing(world.endpoint, model):
        return None
    return Needs(ENVIRONMENT, ENVIRONMENT in world.environments)


def planned(world: World, asked: str | None = None) -> list[Change]:
    ledger = read(world.ledger)
    choice = choose(world.models, ledger, asked)
    told = needs(world, choice.model)
    return plan_batch("ws", world.endpoint, choice, told, ledger=ledger, champion=world.champion)


def planned_online(world: World, live: str) -> list[Change]:
    model = world.model(live)
    return plan_online("ws", world.endpoint, model, needs(world, model))


def carried_out(world: World, change: Change) -> World:
    """Do what an announcement says."""
    look = world.endpoint
    match change.kind.split():
        case [_, "endpoint"] if change.action is Action.CREATE:
            changed = {"endpoint": replace(look, there=True)}
        case [_, "endpoint"]:
            assert look.there
            assert look.deployments[change.to].state == "Succeeded"
            tags = deployments.tags_after(look.tags, look.state, deployments.version_of(change.to), "run")
            changed = {"endpoint": replace(look, default=change.to, tags=tags)}
        case [_, "deployment"]:
            changed = {"endpoint": replace(look, deployments=_held(world, change))}
        case ["environment"]:
            changed = {"environments": world.environments | {change.name}}
        case ["alias"]:
            changed = {"champion": change.to}
        case ["ledger"]:
            changed = {"ledger": world.entered("promote", change.to).ledger}
        case ["smoke", "test"]:
            assert look.deployments[change.name].state == "Succeeded"
            changed = {}
    return replace(world, **changed)


def _held(world: World, change: Change) -> dict[str, Deployed]:
    held, version = dict(world.endpoint.deployments), deployments.version_of(change.name)
    assert version is not None, "what others made is left alone"
    if change.action is Action.DELETE:
        assert change.name != world.endpoint.default, "what answers is not removed"
        del held[change.name]
        return held
    assert world.endpoint.there
    assert ENVIRONMENT in world.environments
    return {**held, change.name: Deployed("Succeeded", world.model(version).sha256)}


def after(world: World, changes: list[Change]) -> World:
    for change in changes:
        if change.pending:
            world = carried_out(world, change)
    return world


# Worlds.


@st.composite
def worlds(draw) -> World:
    numbers = draw(st.lists(st.sampled_from(VERSIONS), unique=True, min_size=1, max_size=9))
    models = tuple(
        ModelVersion(
            "m", version, "k", f"sha{version}", {"verdict": draw(st.sampled_from(["promote", "hold", "reject"]))}
        )
        for version in sorted(numbers, key=int, reverse=True)
    )
    world = World(
        models,
        champion=draw(st.none() | st.sampled_from(numbers)),
        environments=draw(st.sampled_from([frozenset(), frozenset({ENVIRONMENT})])),
    )
    for action, version in draw(
        st.lists(st.tuples(st.sampled_from(["approve", "refuse", "promote"]), st.sampled_from(numbers)), max_size=4)
    ):
        world = world.entered(action, version)
    if not draw(st.booleans()):
        return world
    names = [deployments.name_of(version, code) for version in numbers for code in (NOW, OLD)]
    states = st.sampled_from(["Succeeded", "Succeeded", "Failed"])
    held = {
        name: Deployed(draw(states), f"sha{deployments.version_of(name)}")
        for name in draw(st.lists(st.sampled_from(names), unique=True))
    }
    held |= {"blue": Deployed("Succeeded", None)} if draw(st.booleans()) else {}
    sound = [name for name, one in held.items() if one.state == "Succeeded"]
    default = draw(st.none() | st.sampled_from(sound)) if sound else None
    previous = draw(st.none() | st.sampled_from(numbers))
    tags = {"previous": previous} if previous else {}
    return replace(world, endpoint=EndpointSnapshot("be", NOW, True, default, tags, held))


#: A world takes a while to draw where other tests run beside this one.
unhurried = settings(deadline=None, max_examples=60)
asked = st.none() | st.sampled_from(VERSIONS)


def plan_or_none(world: World, version: str | None) -> list[Change] | None:
    """The plan, or None where there is none, for a reason that another test is about."""
    try:
        return planned(world, version)
    except (NotAllowed, NotThere):
        return None


@unhurried
@given(worlds(), asked)
def test_once_a_plan_is_carried_out_there_is_nothing_left_to_do(world, version):
    changes = plan_or_none(world, version)
    assume(changes is not None)
    done = after(world, changes)
    again = planned(done, version)
    assert not any_pending(again), again
    state = done.endpoint.state
    assert state.default is not None
    assert not state.outdated or choose(world.models, read(world.ledger), version).model is None
    assert (read(done.ledger).live, done.champion) == (state.default, state.default)


@unhurried
@given(worlds(), asked)
def test_nothing_that_is_planned_could_be_left_out(world, version):
    changes = plan_or_none(world, version)
    assume(changes is not None)
    for left_out in [one for one in changes if one.pending and one.kind != "smoke test"]:
        try:
            done = after(world, [one for one in changes if one is not left_out])
        except (AssertionError, KeyError):
            continue  # what comes after it needs it
        if left_out.action is Action.DELETE:
            assert left_out.name in done.endpoint.deployments
        elif left_out.kind == "ledger":
            # Between what was found and what is promoted, the ledger would tell of a change that never was.
            assert len(read(done.ledger).entries) < len(read(after(world, changes).ledger).entries)
        else:
            assert any_pending(planned(done, version)), left_out


@unhurried
@given(worlds(), asked)
def test_nothing_goes_live_that_its_verdict_and_persons_do_not_allow_nor_without_a_smoke_test(world, version):
    changes = plan_or_none(world, version) or []
    kinds = [one.kind for one in changes]
    for change in changes:
        if change.kind == "batch endpoint" and change.action is Action.UPDATE:
            live = deployments.version_of(change.to)
            assert why_not_live(world.model(live), read(world.ledger)) is None
            assert version in (None, live)
            smoke = changes[kinds.index("smoke test")]
            assert smoke.name == change.to
            assert changes.index(smoke) < changes.index(change)


@unhurried
@given(worlds(), asked)
def test_what_answered_before_is_kept(world, version):
    changes = plan_or_none(world, version)
    assume(changes is not None)
    before, done = world.endpoint.state, after(world, changes).endpoint.state
    if done.default != before.default:
        assert done.previous == before.default
        assert before.default is None or before.default in done.deployments


@unhurried
@given(worlds(), asked)
def test_what_nobody_goes_back_to_is_removed_once_another_answers(world, version):
    changes = plan_or_none(world, version)
    assume(changes is not None)
    look = after(world, changes).endpoint
    if look.default != world.endpoint.default:
        assert deployments.superfluous(list(look.deployments), look.default, look.state.previous) == []


@unhurried
@given(worlds(), st.data())
def test_the_same_holds_for_the_online_endpoint(world, data):
    live = data.draw(st.sampled_from([one.version for one in world.models]))
    changes = planned_online(world, live)
    done = after(world, changes)
    assert not any_pending(planned_online(done, live))
    assert done.endpoint.state.default == live
    assert not done.endpoint.state.outdated
    if any_pending(changes):
        assert {deployments.version_of(name) for name in done.endpoint.deployments if name != "blue"} <= {
            live,
            done.endpoint.state.previous,
            *(one.version for one in world.models if int(one.version) > int(live)),
        }


# Named cases.


def model(version: str, verdict: str = "promote") -> ModelVersion:
    return ModelVersion("m", version, "k", f"sha{version}", {"verdict": verdict})


def test_a_version_that_is_named_and_may_not_go_live_is_refused_and_the_newest_is_passed_over():
    held = (model("2", "hold"), model("1"))
    with pytest.raises(
        NotAllowed, match=r"Version 2 may not go live: its verdict is hold.* `credit-default models app"
    ):
        choose(held, Ledger(), "2")
    choice = choose(held, Ledger(), None)
    assert choice.model is None
    assert choice.why.startswith("version 2, the newest, may not go live: its verdict is hold")
    with pytest.raises(NotThere, match="has no version '7' of the model; versions there: 2, 1"):
        choose(held, Ledger(), "7")
    with pytest.raises(NotThere, match="run the job train_model"):
        choose((), Ledger(), None)


def test_when_nothing_answers_and_nothing_may_that_is_an_error():
    with pytest.raises(NotThere, match="Nothing is live, and nothing may be: version 1, the newest, may not"):
        planned(World((model("1", "reject"),)))
    with pytest.raises(NotThere, match="Nothing is live at the batch endpoint"):
        plan_online("ws", EndpointSnapshot("oe", NOW), None, None)


def test_a_deployment_of_another_model_is_not_taken_for_ours():
    name = deployments.name_of("1", NOW)
    look = EndpointSnapshot("be", NOW, True, None, {}, {name: Deployed("Succeeded", "another")})
    with pytest.raises(ModelError, match=r"Deployment version-1-a{12} of be is of another model"):
        planned(World((model("1"),), endpoint=look))


def test_nothing_is_planned_past_a_ledger_that_cannot_be_relied_on():
    world = World((model("1"),)).entered("promote", "2").entered("promote", "3")
    broken = replace(world, ledger=world.ledger.replace(b'"so"', b'"no"', 1))
    with pytest.raises(LedgerError, match="cannot be relied on from line 1 on"):
        planned(broken)


def test_what_went_live_past_the_platform_is_entered_although_nothing_else_changes():
    name = deployments.name_of("1", NOW)
    look = EndpointSnapshot("be", NOW, True, name, {}, {name: Deployed("Succeeded", "sha1")})
    changes = planned(World((model("2", "reject"), model("1")), endpoint=look, champion="1"))
    assert [(one.action, one.kind, one.to) for one in changes] == [
        (Action.UNCHANGED, "batch deployment", ""),
        (Action.UPDATE, "ledger", "1"),
    ]
    assert "version 2, the newest, may not go live" in changes[0].why
    assert Choice(None, "").model is None
