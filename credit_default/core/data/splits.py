"""Which client belongs where: decided by a hash of the client's id and by nothing else.

No client ever changes sides when rows are added, since each is judged alone. The one exception is the deal of
the bundled table, which is never added to: it ranks by hash, so that the halves come out exactly equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DEVELOPMENT, CALIBRATION, TEST = PARTS = ("development", "calibration", "test")
#: Upper ends of the shares of the parts.
_SHARES = (0.6, 0.8)
_DEAL_SALT = "credit-default deal"
_PARTS_SALT = "credit-default parts"


def _hashes(client_ids: Iterable[str], salt: str) -> NDArray[np.uint64]:
    """First 64 bits of the sha256 of every salted id."""
    salted = hashlib.sha256(f"{salt}\n".encode())

    def digest(client_id: str) -> bytes:
        own = salted.copy()
        own.update(client_id.encode())
        return own.digest()[:8]

    return np.frombuffer(b"".join(map(digest, client_ids)), ">u8").astype(np.uint64)


def order(client_ids: Iterable[str]) -> NDArray[np.int64]:
    """Positions of the clients in the order of the deal, which has nothing to do with the order of a file."""
    ids = [str(client_id) for client_id in client_ids]
    return np.lexsort((np.array(ids, dtype=object).astype(str), _hashes(ids, _DEAL_SALT)))


def deal(client_ids: Iterable[str]) -> NDArray[np.bool_]:
    """Mask of the clients that are for development: the first half in the order of the deal."""
    ids = [str(client_id) for client_id in client_ids]
    mask = np.zeros(len(ids), bool)
    mask[order(ids)[: len(ids) // 2]] = True
    return mask


def part_of(client_ids: Iterable[str]) -> NDArray[np.str_]:
    """Part of each client: ``development`` (60 %), ``calibration`` (20 %) or ``test`` (20 %)."""
    position = _hashes((str(client_id) for client_id in client_ids), _PARTS_SALT) / 2.0**64
    return np.array(PARTS)[np.searchsorted(_SHARES, position, side="right")]
