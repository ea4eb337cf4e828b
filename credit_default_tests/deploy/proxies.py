"""nginx of the system with the project's configuration, and servers to be asked, as browsers and as others do it."""

from __future__ import annotations

import base64
import contextlib
import getpass
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.client import BadStatusLine, HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path

from credit_default_tests.deploy.servers import HOSTING, program, running
from credit_default_tests.end_to_end.world import until

PASSWORD = "long and random"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()}


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Site:
    """A server to be asked, with paths as they are written; over TLS when a certificate is given."""

    def __init__(self, port: int, certificate: Path | None = None, headers: Mapping[str, str] = {}) -> None:
        self.port = port
        self.headers = dict(headers)
        self.certificate = certificate
        self.name = f"127.0.0.1:{port}"
        self.origin = f"https://{self.name}"

    @cached_property
    def context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None

    def ask(self, method: str, path: str, headers: Mapping[str, str] = {}, body: str = "") -> Answer:
        """Send one request. Neither its path nor its headers are mended."""
        if self.certificate:
            connection = HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=60)
        else:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": self.name, **self.headers, **headers}
            if body or method == "POST":
                given["Content-Length"] = str(len(body.encode()))
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body.encode())
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())

    def send(self, request: bytes) -> int:
        """Send bytes as they are; gives the status of the answer, or 0 when there is none."""
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=60))
            if self.context:
                connection = opened.enter_context(self.context.wrap_socket(connection, server_hostname="127.0.0.1"))
            connection.sendall(request)
            response = HTTPResponse(connection)
            opened.callback(response.close)
            try:
                response.begin()
            except (BadStatusLine, ConnectionResetError):
                return 0
            return response.status


_NGINX = """user {user};
pid nginx.pid;
worker_processes 1;
events {{ }}
http {{
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    include conf.d/*.conf;
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, settings: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[Path]:
    """Start nginx with the project's configuration, laid out as its image does it; gives the log of requests.

    The settings are those that compose.yaml gives to the image, the files what is in the folder of certificates.
    """
    for name in ("conf.d", "certificates", "temporary"):
        (folder / name).mkdir(parents=True)
    for name, content in files.items():
        (folder / "certificates" / name).write_bytes(content)
    for template in (HOSTING / "proxy").rglob("*.template"):
        filled = re.sub(r"\$\{([A-Z_]+)\}", lambda found: settings[found.group(1)], template.read_text())
        target = folder / "conf.d" / template.relative_to(HOSTING / "proxy").with_suffix("")
        target.parent.mkdir(exist_ok=True)
        # The image and Debian's package have their logs there, and a test listens on one address only.
        target.write_text(filled.replace("/var/log/nginx/", f"{folder}/").replace("listen ", "listen 127.0.0.1:"))
    (folder / "nginx.conf").write_text(_NGINX.format(user=getpass.getuser()))
    log = folder / "error.log"
    command = [program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", str(log), "-g", "daemon off;"]
    with running(command, log) as process:

        def listens() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", int(settings["HTTPS_PORT"]))) == 0

        until(listens, seconds=20, what="nginx listens", every=0.02)
        yield folder / "access.log"
