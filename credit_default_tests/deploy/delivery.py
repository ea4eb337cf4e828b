"""Three environments that share a registry, and `credit-default deploy` as a workflow calls it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from credit_default.cli.main import main
from credit_default.deploy import settings_file
from credit_default.deploy.place import AzureTarget, open_place
from credit_default.ports import ModelVersion
from credit_default_tests.azure_emulator import Emulator
from credit_default_tests.deploy.journal import Key, announced, not_announced, requests_that_write, written
from credit_default_tests.resources.served_models import MANIFEST_FILE, MODEL_FILE, another_file

ENVIRONMENTS = ("development", "staging", "production")
#: Answers at once, so that tests need not wait.
_IMPATIENT = {"CREDIT_DEFAULT_POLL_SECONDS": "0.5", "CREDIT_DEFAULT_UNREACHABLE_LIMIT": "30"}


@dataclass(frozen=True)
class Thrice:
    """A dry run, the call that it announced, and the same call again.

    Attributes
    ----------
    told, done, again
        What each printed as JSON.
    writes
        What the call wrote.
    dry_writes, more_writes
        What the dry run and the second call wrote.
    """

    told: dict[str, Any]
    done: dict[str, Any]
    again: dict[str, Any]
    writes: Counter[Key]
    dry_writes: list[str]
    more_writes: list[str]

    def must_be_exact(self, *, besides: set[str] = frozenset()) -> None:
        """Hold the announcement to what was written; `besides` names kinds that the announcement says in a word."""
        assert self.dry_writes == []
        assert self.done["changes"] == self.told["changes"]
        assert announced(self.told["changes"]), "there was nothing to do, and the test shows nothing"
        writes = Counter({key: n for key, n in self.writes.items() if key[0] not in besides})
        assert not_announced(writes, self.told["changes"]) == (Counter(), Counter())
        assert {one["action"] for one in self.again["changes"]} == {"unchanged"}
        assert self.more_writes == []


class Delivery:
    """A file of settings for each environment, each with a workspace and a lake of its own."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.workspaces = {name: emulator.workspace(with_code=True) for name in ENVIRONMENTS}
        self.registry = self.workspaces["staging"].settings["AZURE_ML_REGISTRY"]
        self.files = {name: folder / f"{name}.env" for name in ENVIRONMENTS}
        for name in ENVIRONMENTS:
            self.write_settings(name, CREDIT_DEFAULT_HOME=str(folder / name))

    def write_settings(self, environment: str, **more: str) -> Path:
        told = {
            **self.workspaces[environment].settings,
            "AZURE_ML_REGISTRY": self.registry,
            "CREDIT_DEFAULT_ENV": environment,
            **_IMPATIENT,
            **more,
        }
        self.files[environment].write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        return self.files[environment]

    def call(self, environment: str, *arguments: str) -> Result:
        """Run a command below `deploy` with the settings of an environment."""
        return CliRunner().invoke(main, ["deploy", "--settings", str(self.files[environment]), *arguments])

    def told(self, environment: str, *arguments: str, exits: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Run a command; returns what it printed as JSON, and the requests that it made."""
        before = len(self.emulator.journal())
        result = self.call(environment, *arguments, "--json")
        assert result.exit_code == exits, f"{arguments}: {result.output}{result.stderr}"
        return json.loads(result.stdout), self.emulator.journal()[before:]

    def thrice(self, environment: str, *arguments: str) -> Thrice:
        """Let a command announce what it does, do it, and do it again."""
        told, dry = self.told(environment, *arguments, "--dry-run", exits=3)
        done, requests = self.told(environment, *arguments)
        again, more = self.told(environment, *arguments)
        return Thrice(told, done, again, written(requests), requests_that_write(dry), requests_that_write(more))

    @contextmanager
    def inside(self, environment: str) -> Iterator[AzureTarget]:
        """Look at an environment, or put something into it, with the platform's own ports."""
        with settings_file.entered(settings_file.read(self.files[environment])):
            yield open_place()

    def register(self, environment: str, files: Mapping[str, bytes], mark: str, verdict: str) -> ModelVersion:
        """Register a model once more, as a file of its own whose manifest fits it."""
        content = {**files, MODEL_FILE: another_file(files[MODEL_FILE], mark)}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items() if name != MANIFEST_FILE}
        sha256 = hashes[MODEL_FILE]
        told = {"model_sha256": sha256, "model_id": sha256[:16], "files": hashes}
        content[MANIFEST_FILE] = json.dumps({**json.loads(files[MANIFEST_FILE]), **told}).encode()
        tags = {"verdict": verdict, "manifest_sha256": hashlib.sha256(content[MANIFEST_FILE]).hexdigest()}
        with self.inside(environment) as place:
            for name, data in content.items():
                place.storage.write(f"models/{sha256[:16]}/{name}", data)
            return place.registry.register(f"models/{sha256[:16]}", sha256=sha256, tags=tags)
