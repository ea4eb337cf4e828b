"""The proxy of hosting against pages of other sites: no spelling of a path and no form of a request changes anything.

nginx and Dagster's web server are the real ones. Each request goes to the web server itself first, so that the test
knows which of them would change something; the proxy then gets all of them, from somebody who is logged in.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

import dagster as dg
import pytest

from credit_default_tests.deploy.login_server import SESSION, login_server
from credit_default_tests.deploy.proxies import BASIC, Site
from credit_default_tests.deploy.servers import free_port, running
from credit_default_tests.end_to_end.world import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOGINS = {"basic": BASIC, "oidc": {"Cookie": SESSION}}
CHANGE = 'mutation { setConcurrencyLimit(concurrencyKey: "made_up", limit: 100) }'
QUERY = f"query={quote(CHANGE)}"
BODY = json.dumps({"query": CHANGE})
ELSEWHERE = {"Origin": "https://elsewhere.example"}
#: What may stand behind the path: control characters, spaces and separators, of which the router takes one for the end.
CONTROLS = [f"%{number:02x}" for number in (*range(0x21), 0x7F, 0x85, 0xA0)]
ENDS = ["", "%0a", "%0A", "%0d%0a", "%0a%0a", "%c2%85", "%e2%80%a8", "%e2%80%a9", "%250a", "%25%30a", "/", ";x", "%3bx"]
MORE_ENDS = ["%0a/", "/%0a", "/.", "/./%0a", "%3b%0a", "%3f", "%23", "%5c", *CONTROLS]
#: What may stand before it.
STARTS = [
    "",
    "/",
    "//",
    "/./",
    "/%2e/",
    "/x/../",
    "/x%2f..%2f",
    "/x/%2e%2e/",
    "/x;/../",
    "/%0a/../",
    "/%5c",
    "/%0a",
    "\\",
]
MORE_STARTS = [
    "/oauth2/../",
    "/oauth2/..%2f",
    "/oauth2/%2e%2e/",
    "/server_info/../",
    "/report_asset_check/../",
    "/%252e/",
]
#: What a browser sends for a page of another site without asking first, and what it never sends.
SIMPLE = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/plain; application/json",
)
KINDS = ("materialization", "observation")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}
OVERRIDES = {
    "X-HTTP-Method-Override": "POST",
    "X-HTTP-Method": "POST",
    "X-Original-URL": "/graphql",
    "X-Rewrite-URL": "/graphql",
}


class Sent(NamedTuple):
    """A request as it goes over the wire."""

    method: str
    target: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: str = ""
    version: str = "1.1"

    def bytes_for(self, site: Site) -> bytes:
        length = {"Content-Length": str(len(self.body))} if self.body or self.method == "POST" else {}
        headers = {"Host": site.name, "Connection": "close", **site.headers, **length, **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = self.target.replace("HOST", site.name)
        return f"{self.method} {target} HTTP/{self.version}\r\n{lines}\r\n{self.body}".encode()


def spellings(path: str) -> list[str]:
    """Every spelling of a path that nginx, the web server or something between them might take for it."""
    encoded = f"%{ord(path[0]):02x}{path[1:]}"
    others = [path.upper(), path.capitalize(), encoded, encoded.replace("%", "%25"), f"{path[:-1]}%{ord(path[-1]):02x}"]
    found = [f"/{path}{end}" for end in (*ENDS, *MORE_ENDS)]
    found += [f"{start}{path}{end}" for start in (*STARTS, *MORE_STARTS) for end in ("", "%0a")]
    found += [f"/{other}{end}" for other in others for end in ("", "%0a")]
    return list(
        dict.fromkeys([*found, f"https://HOST/{path}", f"https://HOST/{path}%0a", f"https://elsewhere.example/{path}"])
    )


def mutations() -> list[Sent]:
    """Requests that change something wherever they reach GraphQL."""
    made = [Sent("GET", f"{path}?{QUERY}") for path in spellings("graphql")]
    for end in ENDS:
        path = f"/graphql{end}"
        made.append(Sent("POST", f"{path}?{QUERY}", {"Content-Type": SIMPLE[0]}))
        made.append(Sent("POST", path, {"Content-Type": "text/plain; application/json"}, BODY))
        made.append(Sent("POST", path, {"Content-Type": "application/json", **ELSEWHERE}, BODY))
    for path in ("/graphql", "/graphql%0a"):
        made.append(Sent("GET", f"{path}?{QUERY}", version="1.0"))
        made += [Sent(method, f"{path}?{QUERY}") for method in ("HEAD", "OPTIONS", "PUT", "get")]
        made += [Sent("GET", f"{path}?{QUERY}", {name: value}) for name, value in OVERRIDES.items()]
    made += [Sent("GET", f"/?{QUERY}", OVERRIDES), Sent("POST", f"/?{QUERY}", OVERRIDES)]
    made += [Sent("POST", f"/graphql?{QUERY}", {"Content-Type": kind}) for kind in SIMPLE]
    made += [Sent("POST", "/graphql", {"Content-Type": kind}, BODY) for kind in (*SIMPLE, "application/graphql")]
    made += [Sent("POST", "/graphql", {}, BODY), Sent("POST", f"/graphql?{QUERY}")]
    caused = {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}
    return [*made, Sent("POST", "/graphql", caused, BODY), Sent("POST", "/graphql", caused | {"Origin": "null"}, BODY)]


def reports() -> list[Sent]:
    """Requests that record an event which no run stands behind, wherever they reach the endpoints for that."""
    query = "check_name=made_up&passed=true"
    made = [f"{path}/made_up?{query}" for path in spellings("report_asset_check")]
    made += [f"/report_asset_{kind}/made_up{end}?{query}" for kind in ("check", *KINDS) for end in ENDS[:8]]
    return [Sent("POST", target) for target in made]


def handshakes() -> list[Sent]:
    """Websockets that a page of another site opens."""
    origins = (ELSEWHERE, {"Origin": "null"})
    return [Sent("GET", f"/graphql{end}", UPGRADE | origin) for end in ENDS for origin in origins]


class Web:
    """Dagster's web server without a code location, and what was changed through it."""

    def __init__(self, port: int, instance: dg.DagsterInstance) -> None:
        self.site = Site(port)
        self._events = instance.event_log_storage
        self._newest = 0

    def changed(self) -> bool:
        """Whether anything was changed since the last time."""
        limits, before = self._events.get_concurrency_keys(), self._newest
        for key in limits:
            self._events.delete_concurrency_limit(key)
        self._newest = self._events.get_maximum_record_id() or 0
        return bool(limits) or self._newest != before


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> Iterator[Web]:
    home, port = tmp_path_factory.mktemp("dagster"), free_port()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    program = Path(sys.executable).with_name("dagster-webserver")
    command = [str(program), "--empty-workspace", "-h", "127.0.0.1", "-p", str(port)]
    log = home / "web.log"
    environment = {"PATH": "/usr/bin:/bin", "DAGSTER_HOME": str(home)}
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        running(command, log, env=environment, cwd=home) as process,
    ):
        made = Web(port, instance)

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                return made.site.ask("GET", "/server_info").status == 200
            return False

        until(answers, seconds=120, what=f"the web server answers; see {log}", every=0.2)
        yield made


@pytest.fixture(scope="module")
def sites(web, proxy) -> Iterator[list[Site]]:
    """The site as somebody sees it who is logged in, for every kind of login."""
    with contextlib.ExitStack() as opened:
        login_port = opened.enter_context(login_server())
        found = []
        for login, headers in LOGINS.items():
            site, _, _ = opened.enter_context(proxy(login=login, web=web.site.port, login_port=login_port))
            found.append(Site(site.port, site.certificate, headers))
        yield found


def obeyed_by_the_web_server(requests: list[Sent], web: Web, sites: list[Site]) -> set[str]:
    """Send every request, and see the proxies refuse it; gives the paths that the web server itself obeys."""
    obeyed = set()
    for sent in requests:
        web.site.send(sent.bytes_for(web.site))
        if web.changed():
            obeyed.add(sent.target.partition("?")[0])
        statuses = [site.send(sent.bytes_for(site)) for site in sites]
        assert not web.changed(), (statuses, sent)
        # 0 is no answer at all. The page that is at `/` is given to everybody.
        refused = [status == 0 or status >= 400 for status in statuses]
        assert all(refused) or sent.target.startswith("/?"), (statuses, sent)
    return obeyed


def test_no_request_of_another_sites_page_runs_a_mutation(web, sites):
    obeyed = obeyed_by_the_web_server(mutations(), web, sites)
    assert {"/graphql", "/graphql%0a", "/graphq%6c", "/%67raphql%0a"} <= obeyed


def test_nobody_records_an_event_whatever_the_spelling(web, sites):
    obeyed = obeyed_by_the_web_server(reports(), web, sites)
    assert {f"/report_asset_{kind}/made_up{end}" for kind in ("check", *KINDS) for end in ("", "%0a")} <= obeyed


def test_no_page_of_another_site_opens_a_websocket(web, sites):
    opened = set()
    for sent in handshakes():
        if web.site.send(sent.bytes_for(web.site)) == 101:
            opened.add(sent.target)
        assert [status for site in sites if (status := site.send(sent.bytes_for(site))) in range(1, 400)] == [], sent
    assert {"/graphql", "/graphql%0a"} <= opened


def test_pages_of_ours_change_things_and_open_websockets(web, sites):
    for site in sites:
        ours = {
            "Origin": site.origin,
            "Content-Type": "application/json; charset=utf-8",
            "Sec-Fetch-Site": "same-origin",
        }
        assert site.send(Sent("POST", "/graphql", ours, BODY).bytes_for(site)) == 200
        assert web.changed()
        # A browser may say so of a page's own websockets, whose scheme is another.
        opening = UPGRADE | {"Origin": site.origin, "Sec-Fetch-Site": "cross-site"}
        assert site.send(Sent("GET", "/graphql", opening).bytes_for(site)) == 101
