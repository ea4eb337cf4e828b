"""The ledger of promotions in storage: anybody reads it, and one at a time writes it, on whichever machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from credit_default.core import lake
from credit_default.core.promotion import ledger as core
from credit_default.core.promotion.ledger import Action, Draft, Ledger, LedgerEntry
from credit_default.errors import NotThere
from credit_default.ports import Storage

_SHORT = 8


class LedgerWriter:
    """Enters lines while nobody else does; see :func:`held`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._content = _content(storage)

    @property
    def ledger(self) -> Ledger:
        """What the ledger says now."""
        return core.read(self._content)

    def enter(
        self,
        action: Action,
        version: str,
        *,
        who: str,
        reason: str,
        run_id: str | None = None,
        manifest_sha256: str | None = None,
    ) -> LedgerEntry:
        """Add a line about a version, with the sha256 of its verdict as that is stored now.

        Raises
        ------
        LedgerError
            The chain is broken.
        """
        draft = Draft(
            action=action,
            to_version=version,
            who=who,
            reason=reason,
            verdict_sha256=_verdict_sha256(self._storage, version),
            run_id=run_id,
            manifest_sha256=manifest_sha256,
        )
        content = core.append(self._content, draft, datetime.now(UTC))
        torn = self.ledger.torn
        if torn:
            self._storage.write(lake.torn_ledger(hashlib.sha256(torn).hexdigest()[:_SHORT]), torn)
        self._storage.write(lake.LEDGER, content)
        self._content = content
        return self.ledger.entries[-1]


def read(storage: Storage) -> Ledger:
    """Return what the ledger says; nothing when there is none yet."""
    return core.read(_content(storage))


@contextmanager
def held(storage: Storage) -> Iterator[LedgerWriter]:
    """Hold the ledger against everybody else who writes it.

    Whatever makes a version live does so in here, so that the ledger and the endpoint say the same. The endpoint may be
    held inside, never the other way round: two that wait for each other would wait until one of them gives up.

    Raises
    ------
    StorageError
        Somebody else does not let go of it.
    """
    with storage.held(lake.LEDGER):
        yield LedgerWriter(storage)


def _content(storage: Storage) -> bytes:
    try:
        return storage.read(lake.LEDGER)
    except NotThere:
        return b""


def _verdict_sha256(storage: Storage, version: str) -> str | None:
    try:
        return hashlib.sha256(storage.read(lake.verdict(version))).hexdigest()
    except NotThere:
        return None
