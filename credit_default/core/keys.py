"""Keys of the lake: no key may lead out of it, whichever file, tag or message it comes from."""

from __future__ import annotations

from credit_default.errors import StorageError


def checked_key(key: str) -> str:
    """Return a key that stays below the root of the lake.

    Raises
    ------
    StorageError
        It is absolute, climbs with ``..``, or holds a null character.
    """
    if key.startswith("/") or ".." in key.split("/") or "\0" in key:
        raise StorageError(
            f"The key {key!a} leads out of the lake; expected one below its root, without '..'; look who wrote it "
            "into a tag of the registry, a manifest or a file of the lake"
        )
    return key
