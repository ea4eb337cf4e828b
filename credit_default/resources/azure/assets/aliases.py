"""Which version is champion and which is challenger: one small blob, changed by whoever saw its newest state."""

from __future__ import annotations

import json
from dataclasses import dataclass

from credit_default.core.stored_json import read_object
from credit_default.errors import DamagedFile, StorageError
from credit_default.resources.azure.client.blobs import BlobContainer

#: How often a change that somebody else was faster than is tried again.
_TRIES = 50


@dataclass(frozen=True)
class Aliases:
    """Aliases of one registered model, safe for concurrent writers: Azure ML's own tags are not.

    A change is written on condition that the blob is still the one that was read (its ETag), and tried again on what
    the other writer made of it otherwise, so none is lost. A writer whose answer was lost finds its change done.
    """

    blobs: BlobContainer
    key: str

    def read(self) -> dict[str, str]:
        """Return alias to version."""
        return self._read()[0]

    def set(self, alias: str, version: str) -> None:
        """Point an alias at a version.

        Raises
        ------
        StorageError
            Others change the aliases all the time.
        """
        for _ in range(_TRIES):
            aliases, etag = self._read()
            if aliases.get(alias) == version:
                return
            content = json.dumps({**aliases, alias: version}, sort_keys=True).encode()
            if self.blobs.write_if(self.key, content, etag):
                return
        raise StorageError(f"{self.key} was changed by somebody else {_TRIES} times in a row; look who does that")

    def _read(self) -> tuple[dict[str, str], str | None]:
        found = self.blobs.read_tagged(self.key)
        if found is None:
            return {}, None
        content, etag = found
        remedy = "remove it, and run the job deploy_model, which writes it anew"
        aliases = read_object(content, self.key, remedy)
        if not all(isinstance(version, str) for version in aliases.values()):
            raise DamagedFile(f"{self.key} is damaged: got an alias that is no text; {remedy}")
        return aliases, etag
