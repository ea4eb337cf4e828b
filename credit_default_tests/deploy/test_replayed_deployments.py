"""What a dry run of `deploy deployment` prints is what the next call writes: drawn worlds, brought about for real."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import Phase, find, settings

from credit_default.deploy.plans.changes import Action, Change
from credit_default_tests.deploy.delivery import Delivery
from credit_default_tests.deploy.plans.test_deployment import World, plan_or_none, worlds
from credit_default_tests.deploy.replayed import bring_about, possible
from credit_default_tests.resources.served_models import model_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Changes = list[Change]


def has(action: Action, kind: str) -> Callable[[World, Changes], bool]:
    return lambda _, changes: any((one.action, one.kind) == (action, kind) for one in changes)


def entries(changes: Changes) -> int:
    return sum(one.kind == "ledger" for one in changes)


def of_other_code(world: World, changes: Changes) -> bool:
    """The version that answers is deployed again with the present code, beside itself; the ledger needs no line."""
    return world.endpoint.state.outdated and has(Action.CREATE, "smoke test")(world, changes) and not entries(changes)


CASES: dict[str, Callable[[World, Changes], bool]] = {
    "a deployment that failed is made again, and what nobody goes back to is deleted": lambda world, changes: (
        has(Action.UPDATE, "batch deployment")(world, changes)
        and has(Action.DELETE, "batch deployment")(world, changes)
    ),
    "what answers is deployed again with other code": of_other_code,
    "what went live past the ledger is entered, and what follows it": lambda _, changes: entries(changes) > 1,
    "only the alias is another": lambda _, changes: [one.kind for one in changes if one.pending] == ["alias"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def drawn() -> dict[str, World]:
    """The first world for each case, as it was drawn: a simpler one would show less."""
    found: dict[str, World] = {}

    def enough(world: World) -> bool:
        changes = plan_or_none(world, None)
        for name, case in CASES.items():
            if name not in found and changes is not None and case(world, changes):
                found[name] = world
        return len(found) == len(CASES)

    once = settings(max_examples=10_000, phases=[Phase.generate], database=None, deadline=None)
    find(worlds().map(possible), enough, settings=once, random=random.Random(7))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "_"))
def test_what_a_dry_run_prints_is_what_the_next_call_writes(delivery, files, drawn, tmp_path_factory, case):
    world = drawn[case]
    there = Delivery(delivery.emulator, tmp_path_factory.mktemp("world"))
    environment = "staging"
    # The instance may be any: what is live is in Azure.
    home = delivery.files["staging"].parent / "shared_home"
    there.write_settings(environment, CREDIT_DEFAULT_HOME=str(home))
    with there.inside(environment) as place:
        bring_about(place, world, files)
    thrice = there.thrice(environment, "deployment")
    thrice.must_be_exact()
    planned = plan_or_none(world, None)
    assert [(one["action"], one["kind"]) for one in thrice.told["changes"]] == [
        (one.action, one.kind) for one in planned
    ]
