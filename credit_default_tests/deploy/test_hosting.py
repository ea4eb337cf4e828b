"""Hosting for real: Debian's PostgreSQL and nginx, and every part of the image, with jobs, dead runs and intruders.

What the proxy refuses is done to the web server itself first, so that a test fails when there is nothing to refuse.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
import yaml
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.launcher import WorkerStatus
from dagster_webserver.webserver import DagsterWebserver
from starlette.routing import WebSocketRoute
from websockets.exceptions import InvalidStatus

from credit_default.defs.shared.policies import ON_COMPUTE
from credit_default.resources.local.run_launcher import WatchfulRunLauncher
from credit_default_tests.deploy.hosted import JSON, Hosted, graphql, launch, subscribed
from credit_default_tests.deploy.login_server import EMAIL, SESSION, login_server
from credit_default_tests.deploy.proxies import BASIC, Site
from credit_default_tests.deploy.servers import HOSTING, Postgres, postgres
from credit_default_tests.end_to_end.world import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPOSE = yaml.safe_load((HOSTING / "compose.yaml").read_text("utf-8"))
ELSEWHERE = {"Origin": "https://elsewhere.example"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: Lets a hundred steps of a pool be on compute at once.
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "made_up", limit: 100) }'
CHANGE_BACK = 'mutation { deleteConcurrencyLimit(concurrencyKey: "made_up") }'
CHANGE_JSON = json.dumps({"query": CHANGE})
CHANGE_QUERY = f"/graphql?query={quote(CHANGE)}"
#: Method, path, headers and body of what changes it, and what the proxy answers to whoever is logged in.
CHANGES = {
    "by a link": ("GET", CHANGE_QUERY, {}, "", 405),
    "by a form": ("POST", CHANGE_QUERY, FORM, "", 405),
    "by JSON that is called text": (
        "POST",
        "/graphql",
        {"Content-Type": "text/plain; application/json"},
        CHANGE_JSON,
        415,
    ),
    "by GraphQL": ("POST", "/graphql", {"Content-Type": "application/graphql"}, CHANGE, 415),
    "by a page of another site": ("POST", "/graphql", JSON | ELSEWHERE, CHANGE_JSON, 403),
    "by a page that hides its site": ("POST", "/graphql", JSON | {"Origin": "null"}, CHANGE_JSON, 403),
    "under another name": ("POST", "/graphql", JSON | {"Host": "elsewhere.example"}, CHANGE_JSON, 421),
}
#: What records events that no run stands behind. The last three are ways round a rule for the plain path.
REPORTS = {
    "/report_asset_materialization/made_up": 403,
    "/report_asset_observation/made_up": 403,
    "/report_asset_check/made_up?check_name=made_up&passed=true": 403,
    "/report_asset_materialization/made_up/../../server_info": 405,
    "/report_asset_materialization/made_up%2f..%2f..%2fgraphql": 415,
    "/%72eport_asset_materialization/made_up": 403,
}


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def hosted(database, emulator, tmp_path_factory) -> Iterator[Hosted]:
    """Every part of the image, at work on an empty database."""
    made = Hosted(tmp_path_factory.mktemp("hosted") / "home", emulator, database)
    migrated = made.part("migrate")
    assert migrated.returncode == 0, migrated.stderr
    with made.running():
        yield made
    # Nobody called home.
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []


@pytest.fixture(scope="module")
def basic(hosted, proxy):
    with proxy(login="basic", web=hosted.web.port) as started:
        yield started


@pytest.fixture(scope="module")
def anybody(basic) -> Site:
    """The site as one sees it who is not logged in."""
    return basic[0]


@pytest.fixture(scope="module")
def ann(anybody) -> Site:
    """The site as one sees it who is."""
    return Site(anybody.port, anybody.certificate, BASIC)


@pytest.fixture(scope="module")
def finished(hosted, database, ann) -> str:
    """A run of a job that a person launched through the proxy."""
    run_id = launch(ann, "check_days")
    wait_for(database, run_id, "SUCCESS")
    return run_id


def status(database: Postgres, run_id: str) -> str:
    return "".join(database.ask(f"SELECT status FROM runs WHERE run_id = '{run_id}'"))


def wait_for(database: Postgres, run_id: str, wanted: str, *, seconds: float = 240) -> None:
    until(lambda: status(database, run_id) == wanted, seconds=seconds, what=f"{run_id} is {wanted}", every=0.5)


def test_a_job_that_is_launched_behind_the_login_is_run_and_is_all_in_postgresql(hosted, database, finished):
    (job, steps) = (f"FROM runs WHERE run_id = '{finished}'", f"FROM event_logs WHERE run_id = '{finished}'")
    assert database.ask(f"SELECT pipeline_name {job}") == ["check_days"]
    kinds = set(database.ask(f"SELECT dagster_event_type {steps}"))
    assert {"PIPELINE_ENQUEUED", "PIPELINE_STARTING", "PIPELINE_START", "ASSET_CHECK_EVALUATION"} <= kinds
    # The daemon looks after sensors and schedules, and neither has left anything in a file.
    until(lambda: database.ask("SELECT 1 FROM job_ticks LIMIT 1"), seconds=120, what="a tick of a sensor")
    assert [path.name for path in (hosted.home / "dagster").rglob("*.db")] == []
    assert any(finished in name for name in hosted.names("dagster/logs"))


@pytest.mark.parametrize("part", ["code", "daemon", "web"])
def test_the_health_check_of_a_container_finds_its_part_well(part, hosted):
    kind, *check = COMPOSE["services"][part]["healthcheck"]["test"]
    assert kind == "CMD"
    here = {"4000": str(hosted.ports["code"]), "web.front:3000": f"127.0.0.1:{hosted.web.port}"}
    for there, mine in here.items():
        check = [word.replace(there, mine) for word in check]
    done = hosted.run(str(Path(sys.executable).with_name(check[0])), *check[1:])
    assert done.returncode == 0, done.stderr


def test_a_migration_of_a_database_that_is_up_to_date_changes_nothing(hosted, database, finished):
    assert hosted.part("migrate").returncode == 0
    assert status(database, finished) == "SUCCESS"


def test_a_backup_brings_the_runs_back(database, finished):
    backup = database.tool("pg_dump", "--format=custom")
    database.ask("CREATE DATABASE restored")
    database.tool("pg_restore", "--exit-on-error", "--dbname=restored", input=backup)
    found = database.ask(f"SELECT status FROM runs WHERE run_id = '{finished}'", "restored")
    assert found == ["SUCCESS"]


def test_a_fifth_step_waits_until_one_of_four_has_left_compute(hosted):
    with hosted.opened() as instance:
        run = instance.add_run(dg.DagsterRun(job_name="train_model", status=dg.DagsterRunStatus.FAILURE))
        with InstanceConcurrencyContext(instance, run) as pool:
            assert [pool.claim(ON_COMPUTE, f"step {number}") for number in range(5)] == [True] * 4 + [False]
        with InstanceConcurrencyContext(instance, run) as pool:
            instance.event_log_storage.free_concurrency_slot_for_step(run.run_id, "step 0")
            assert pool.claim(ON_COMPUTE, "step 4")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def is_changed(database: Postgres) -> bool:
    """Whether the limit was set; asked of the database."""
    return bool(database.ask("SELECT 1 FROM concurrency_limits WHERE concurrency_key = 'made_up'"))


@pytest.mark.parametrize("way", CHANGES)
def test_nothing_is_changed(way, hosted, database, ann):
    method, path, headers, body, refusal = CHANGES[way]
    assert hosted.web.ask(method, path, headers, body).status == 200
    assert is_changed(database), "the web server itself does not do this any more"
    graphql(hosted.web, CHANGE_BACK)
    assert not is_changed(database)

    assert ann.ask(method, path, headers, body).status == refusal
    assert not is_changed(database)


def test_whoever_is_logged_in_changes_things_as_the_ui_does_it(database, ann):
    assert ann.ask("POST", "/graphql", JSON | {"Origin": ann.origin}, CHANGE_JSON).status == 200
    assert is_changed(database)
    graphql(ann, CHANGE_BACK)  # a program says nothing about where it comes from
    assert not is_changed(database)


@pytest.mark.parametrize("path", REPORTS)
def test_nobody_makes_up_an_event(path, hosted, database, ann):
    count = "SELECT count(*) FROM event_logs WHERE run_id = ''"
    before = database.ask(count)
    assert hosted.web.ask("POST", path).status == 200
    recorded = database.ask(count)
    assert recorded != before, "the web server itself does not do this any more"

    assert ann.ask("POST", path).status == REPORTS[path]
    assert database.ask(count) == recorded


def routes() -> list[tuple[str, str]]:
    """Method and path of every route of the installed web server."""
    found = []
    for route in DagsterWebserver(None).build_routes():
        path = route.path.replace("{path:path}", "made_up").replace("{run_id:str}", "made_up")
        path = path.replace("{asset_key:path}", "made_up")
        if not isinstance(route, WebSocketRoute):
            found += [(method, path) for method in sorted(getattr(route, "methods", {"GET"}))]
    return found


def test_every_route_of_the_web_server_asks_for_a_login(hosted, anybody):
    asked = routes()
    assert len(asked) > 20
    assert hosted.web.ask("GET", "/server_info").status == 200
    wrong = {"Authorization": "Basic " + base64.b64encode(b"ann:guessed").decode()}
    for method, path in asked:
        for headers in ({}, wrong):
            answer = anybody.ask(method, path, JSON | headers)
            # What nobody may do is refused before anybody is asked who he is.
            assert answer.status == 401 or (method, answer.status) in {("POST", 403), ("HEAD", 405)}, (method, path)
            assert b"agster_version" not in answer.body


def test_nothing_but_graphql_takes_anything_but_reading(ann):
    changing = [(method, path) for method, path in routes() if method not in {"GET", "HEAD"} and path != "/graphql"]
    assert len(changing) == 3  # the reports; a new one has to be looked at
    for method, path in [*changing, ("PUT", "/graphql"), ("DELETE", "/"), ("OPTIONS", "/graphql"), ("POST", "/")]:
        assert ann.ask(method, path, JSON).status in {403, 405}, (method, path)


def test_pages_and_queries_are_answered_to_whoever_is_logged_in_as_the_web_server_does(hosted, ann):
    for path in ("/server_info", "/favicon.svg", "/manifest.json", "/vendor/graphiql/graphiql.min.js"):
        assert ann.ask("GET", path).body == hosted.web.ask("GET", path).body, path
    for path in ("/", "/assets/batch_predictions?view=partitions", "/locations/credit_default"):
        page = ann.ask("GET", path)
        assert page.status == 200
        assert page.headers["x-frame-options"] == "DENY"
        (script, *_) = re.findall(r'src="(/_next/static/[^"]+)"', page.body.decode())
        assert ann.ask("GET", script).body == hosted.web.ask("GET", script).body
    assert b"GraphiQL" in ann.ask("GET", "/graphql", {"Accept": "text/html"}).body
    listed = graphql(ann, "{ assetNodes { assetKey { path } } }")["assetNodes"]
    assert ["curated_data"] in [node["assetKey"]["path"] for node in listed]


def test_a_websocket_opens_for_whoever_is_logged_in_and_for_no_other_sites_page(hosted, anybody, ann, finished):
    told = "PipelineRunLogsSubscriptionSuccess"
    assert subscribed(hosted.web, finished, ELSEWHERE) == told
    for site, headers, refusal in ((anybody, {}, 401), (ann, ELSEWHERE, 403)):
        with pytest.raises(InvalidStatus) as refused:
            subscribed(site, finished, headers)
        assert refused.value.response.status_code == refusal
    assert subscribed(ann, finished, {"Origin": ann.origin}) == told
    assert subscribed(ann, finished, {}) == told


def test_a_plain_request_is_sent_on_to_tls_and_requests_are_logged_with_who_asked(basic, ann):
    site, plain, log = basic
    answer = plain.ask("GET", "/runs?status=FAILURE")
    assert (answer.status, answer.headers["location"]) == (308, f"{site.origin}/runs?status=FAILURE")
    assert ann.ask("GET", "/server_info?code=a-secret").status == 200
    assert '"ann"' in [line for line in log.read_text().splitlines() if "/server_info" in line][-1]
    assert "a-secret" not in log.read_text()


def test_with_an_identity_provider_pages_lead_to_the_login_and_programs_are_told(hosted, proxy, finished):
    with login_server() as port, proxy(login="oidc", web=hosted.web.port, login_port=port) as (site, _, log):
        for path in ("/runs?status=FAILURE", "/runs?x=%0d%0aSet-Cookie:%20session=x"):
            answer = site.ask("GET", path)
            assert (answer.status, answer.headers["location"]) == (302, f"{site.origin}/oauth2/start?rd={path}")
            assert "set-cookie" not in answer.headers
        assert site.ask("POST", "/graphql", JSON, CHANGE_JSON).status == 401
        for headers in ({"Cookie": "__Host-dagster=forged"}, BASIC, {"X-Auth-Request-Email": EMAIL}):
            assert site.ask("GET", "/server_info", headers).status == 302
        assert site.ask("GET", "/oauth2/auth", {"Cookie": SESSION}).status == 404  # nginx's own question
        assert b"/oauth2/callback?code=a-secret" in site.ask("GET", "/oauth2/callback?code=a-secret").body

        bob = Site(site.port, site.certificate, {"Cookie": SESSION})
        assert bob.ask("GET", "/server_info").body == hosted.web.ask("GET", "/server_info").body
        assert graphql(bob, "{ version }")
        assert bob.ask("GET", CHANGE_QUERY).status == 405
        assert bob.ask("POST", "/graphql", JSON | ELSEWHERE, CHANGE_JSON).status == 403
        with pytest.raises(InvalidStatus):
            subscribed(site, finished, {})
        assert subscribed(bob, finished, {"Origin": bob.origin}) == "PipelineRunLogsSubscriptionSuccess"
        assert f'"{EMAIL}"' in log.read_text().splitlines()[-1]
        assert "a-secret" not in log.read_text()


def test_a_long_name_is_served(proxy):
    name = f"{'a' * 60}.{'b' * 60}.westeurope.cloudapp.azure.com"
    with proxy(login="basic", web=1, host=name) as (site, _, _):
        assert site.ask("GET", "/", {"Host": name}).status == 401
        assert site.ask("GET", "/", BASIC).status == 421


@pytest.mark.parametrize(("login", "headers"), [("basic", BASIC), ("oidc", {"Cookie": SESSION})])
def test_neither_password_session_query_string_nor_a_made_up_path_reaches_the_web_server(login, headers, proxy):
    with login_server() as port, proxy(login=login, web=port, login_port=port) as (site, _, _):
        told = json.loads(site.ask("GET", "//assets/made_up/%2e%2e/../runs/./a%20b?x=1", headers).body)
    assert told["path"] == "/runs/a%20b"  # GraphQL would run what a query string holds
    assert {"authorization", "cookie", "upgrade"} & {name.lower() for name in told["headers"]} == set()
    assert told["headers"]["Host"] == site.name


def test_a_run_whose_container_died_is_found_by_the_daemon_and_goes_on_with_its_one_job(hosted, database, ann):
    hosted.emulator.job_fault("curated-data", hold=True)
    killed = launch(ann, "train_model", "curated_data")
    hosted.job_in("curated_data", "Running")
    wait_for(database, killed, "STARTED")
    with hosted.opened() as instance:
        run = instance.get_run_by_id(killed)
        # From the daemon's container the process of a living run is not to be seen.
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(2**22 + 1))
        watchful = WatchfulRunLauncher()
        watchful.register_instance(instance)
        assert watchful.check_run_worker_health(run).status == WorkerStatus.FAILED
        assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
        hosted.kill("code")
        # Nobody knows yet what became of it.
        assert instance.run_launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    hosted.emulator.clear_faults()
    hosted.start("code")
    wait_for(database, killed, "FAILURE")
    again = f"SELECT run_id FROM run_tags WHERE key = 'dagster/parent_run_id' AND value = '{killed}'"
    (retried,) = until(lambda: database.ask(again), seconds=120, what="a retry of the run")
    wait_for(database, retried, "SUCCESS")
    assert "does not execute this run any more" in "".join(
        database.ask(
            f"SELECT event FROM event_logs WHERE run_id = '{killed}' AND dagster_event_type = 'PIPELINE_FAILURE'"
        )
    )
    (job,) = hosted.jobs("curated_data")
    assert (job["status"], len(job["puts"])) == ("Completed", 1)
