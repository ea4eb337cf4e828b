"""PostgreSQL of the system, started for a test on a free port of 127.0.0.1, and what other servers need, too."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import credit_default
from credit_default_tests.end_to_end.world import until

HOSTING = Path(credit_default.__file__).parent / "deploy" / "hosting"
#: PostgreSQL refuses to run as root.
_POSTGRES_USER = "postgres" if os.getuid() == 0 else getpass.getuser()
_INSTALL = "install it (Debian: make servers, as root)"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def program(name: str, *folders: Path) -> str:
    """Find a program of the system, also where only root looks."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders), "/usr/sbin"]))
    assert path, f"{name} is missing, which the tests of hosting need: {_INSTALL}"
    return path


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, **options) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end, when it is asked to stop, and made to if it does not."""
    with log.open("ab") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)  # to PostgreSQL: end the sessions and stop
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL with an empty database."""

    port: int
    user: str
    password: str
    database: str

    @property
    def settings(self) -> dict[str, str]:
        """The variables of the production ``dagster.yaml``."""
        return {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": self.user,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": self.database,
        }

    def tool(self, name: str, *arguments: str, database: str = "", **options) -> bytes:
        """Run a client program and return what it prints."""
        command = [program(name, *_folders()), "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, *arguments]
        environment = {**os.environ, "PGPASSWORD": self.password, "PGDATABASE": database or self.database}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def ask(self, sql: str, database: str = "") -> list[str]:
        """The lines that a query returns."""
        told = self.tool("psql", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, database=database)
        return told.decode().splitlines()


def _folders() -> list[Path]:
    """Where Debian puts the programs of each version; the newest first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(found, key=lambda folder: float(folder.parent.name), reverse=True)


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL that forgets everything at the end."""
    # Not below pytest's own folder, which other users than root may not enter.
    with tempfile.TemporaryDirectory(prefix="credit-default-postgres-") as temporary:
        folder = Path(temporary)
        made = Postgres(free_port(), "dagster", "a secret: @/?&%", "dagster")
        (folder / "password").write_text(made.password)
        as_user = {"user": _POSTGRES_USER} if os.getuid() == 0 else {}
        if as_user:
            owner = pwd.getpwnam(_POSTGRES_USER)
            for path in (folder, folder / "password"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        subprocess.run(
            [
                program("initdb", *_folders()),
                "-D",
                folder / "data",
                "-U",
                made.user,
                "--auth=scram-sha-256",
                f"--pwfile={folder / 'password'}",
                "--no-sync",
                "--locale=C.UTF-8",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **as_user,
        )
        options = {
            "listen_addresses": "127.0.0.1",
            "port": made.port,
            "unix_socket_directories": folder,
            "fsync": "off",
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [program("postgres", *_folders()), "-D", str(folder / "data"), *given]
        log = folder / "postgres.log"
        with running(command, log, cwd=folder, **as_user) as process:

            def accepts() -> bool:
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(AssertionError):
                    return made.ask("SELECT 1", "postgres") == ["1"]
                return False

            until(accepts, seconds=60, what="PostgreSQL accepts connections")
            made.ask(f"CREATE DATABASE {made.database}", "postgres")
            yield made
