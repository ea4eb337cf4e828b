"""What a job finds on its node, and what is kept of it: code and inputs down, outputs and log up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import AzureError as BlobError

from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.blobs import Blobs
from credit_default_tests.azure_emulator.job import Job, JobError
from credit_default_tests.azure_emulator.locations import asset, locate
from credit_default_tests.azure_emulator.node.sitecustomize import READ_ONLY_VARIABLE, VARIABLE

#: Azure's limit for one block of an append blob, in the older versions of the service.
_BLOCK = 4 * 2**20
#: Holds what Python imports at its start on a node.
_NODE = Path(__file__).parent / "node"


@dataclass
class Staging:
    """The folder of one attempt at a job.

    Attributes
    ----------
    values
        What ``${{inputs.x}}`` and ``${{outputs.x}}`` stand for on this node.
    """

    job: Job
    blobs: Blobs
    folder: Path
    values: dict[str, str] = field(default_factory=dict)
    _uploads: dict[str, Path] = field(default_factory=dict)
    _inputs: list[Path] = field(default_factory=list)
    _there: dict[Path, int] = field(default_factory=dict)
    _logged: dict[str, int] = field(default_factory=dict)

    @property
    def code(self) -> Path:
        """Where the program starts: its code snapshot."""
        return self.folder / "code"

    @property
    def log(self) -> Path:
        """What the program prints on its standard output."""
        return self.folder / "std_log.txt"

    @property
    def errors(self) -> Path:
        """What it prints on its standard error; the same file, unless Azure keeps them apart."""
        return self.folder / "errors.txt" if len(set(self.job.logs)) > 1 else self.log

    @property
    def variables(self) -> dict[str, str]:
        """What the program's environment holds, so that its outputs and inputs behave as mounts do."""
        mounts = {VARIABLE: self._uploads.values(), READ_ONLY_VARIABLE: self._inputs}
        told = {name: os.pathsep.join(str(path.resolve()) for path in paths) for name, paths in mounts.items() if paths}
        return {"PYTHONPATH": str(_NODE), **told} if told else {}

    def bring(self) -> None:
        """Bring code and inputs; raises :class:`JobError` for an input that is not there."""
        self.code.mkdir(parents=True)
        if code := self.job.properties.get("codeId"):
            uri = asset(self.job.workspace, code, "codes")["properties"]["codeUri"]
            location = locate(self.job.workspace, uri)
            self.blobs.bring_code(location.container, location.path, self.code)
        for name, given in (self.job.properties.get("inputs") or {}).items():
            self.values[f"inputs.{name}"] = self._input(name, given)
        for name, wanted in (self.job.properties.get("outputs") or {}).items():
            self.values[f"outputs.{name}"] = self._output(name, wanted)
        self.values |= {f"search_space.{name}": value for name, value in self.job.parameters.items()}
        self.log.touch()
        self.errors.touch()
        self.keep_log()

    def _input(self, name: str, given: Mapping[str, Any]) -> str:
        if given["jobInputType"] == "literal":
            return str(given["value"])
        address = given["uri"]
        if given.get("mode") == "Direct":
            return str(address)
        target = self.folder / "inputs" / name
        try:
            location = locate(self.job.workspace, address)
            if given["jobInputType"] == "uri_file":
                target /= Path(location.path).name
            found = self.blobs.download(location.container, location.path, target)
        except (AzureError, BlobError) as error:
            raise JobError(f"Input '{name}' cannot be read from '{address}': {_told(error)}") from error
        if not found:
            raise JobError(f"Input '{name}': there is nothing at '{address}'.", inner="PathNotFound")
        if given.get("mode") != "Download":
            self._inputs.append(self.folder / "inputs" / name)
        return str(target)

    def _output(self, name: str, wanted: Mapping[str, Any]) -> str:
        address = self.job.outputs[name]
        if wanted.get("mode") == "Direct":
            return address
        target = self.folder / "outputs" / name
        if wanted["jobOutputType"] == "uri_file":
            target.mkdir(parents=True)
            target /= Path(unquote(urlsplit(address).path)).name
        else:
            target.mkdir(parents=True)
        self._uploads[name] = target
        location = locate(self.job.workspace, address)
        try:
            self.blobs.download(location.container, location.path, target)
        except BlobError as error:
            raise JobError(f"Output '{name}' cannot be mounted at '{address}': {_told(error)}") from error
        self._there |= {path: _written(path) for path in (target, *target.rglob("*")) if path.is_file()}
        return str(target)

    def keep_log(self) -> None:
        """Add what the program printed since the last time to its logs in the artifact store."""
        for name, file in dict(zip(self.job.logs, (self.log, self.errors), strict=True)).items():
            with file.open("rb") as stream:
                stream.seek(self._logged.get(name, 0))
                new = stream.read()
            self._logged[name] = self._logged.get(name, 0) + len(new)
            for start in range(0, max(len(new), 1), _BLOCK):
                path = f"{self.job.artifacts}/{name}"
                self.blobs.append(self.job.workspace.artifacts, path, new[start : start + _BLOCK])

    def keep_outputs(self) -> None:
        """Store what the program made, beside what was there; raises :class:`JobError` when that cannot be."""
        changed = [path.name for path, when in self._there.items() if not path.exists() or _written(path) != when]
        if changed:
            raise JobError(f"Existing files of a mounted output were changed: {', '.join(sorted(changed))}.")
        for name, path in self._uploads.items():
            if not path.exists():
                continue
            location = locate(self.job.workspace, self.job.outputs[name])
            try:
                self.blobs.upload(path, location.container, location.path, leave_out=self._there)
            except BlobError as error:
                raise JobError(
                    f"Output '{name}' cannot be written to '{self.job.outputs[name]}': {_told(error)}"
                ) from error

    def last_words(self, lines: int = 10) -> str:
        """Return the end of what the program printed about errors."""
        return "\n".join(self.errors.read_text("utf-8", "replace").splitlines()[-lines:])


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def _told(error: Exception) -> str:
    """Tell an error by its first line: the rest of a blob error is a list of request ids."""
    return str(error).partition("\n")[0]
