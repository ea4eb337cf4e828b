"""The private key that opens what online requests held: where it is found, and how one is made on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from credit_default.errors import SettingsError
from credit_default.settings import COLLECTION_KEY_VARIABLE, Environment, Settings

if TYPE_CHECKING:
    from credit_default.telemetry.encryption import PrivateKeys

_FILE = "collection_key.json"


def private_keys(settings: Settings, environ: Mapping[str, str] = os.environ) -> PrivateKeys:
    """Return the keys that open collected inputs, from the environment, or from the home on this machine.

    There one is made at first use. On Azure it has to be given, since every process of an environment needs the same.

    Raises
    ------
    SettingsError
        It is not set in an Azure environment, or is malformed. It is a secret and is not quoted.
    """
    from credit_default.telemetry.encryption import PrivateKeys

    given = environ.get(COLLECTION_KEY_VARIABLE, "").strip()
    if given:
        return PrivateKeys.read(given, COLLECTION_KEY_VARIABLE)
    if settings.environment is not Environment.LOCAL:
        raise SettingsError(
            f"{COLLECTION_KEY_VARIABLE} is not set; expected the private key that opens what online requests held: "
            "make one with `credit-default collection-key`, keep it in a key vault, and give every process the same"
        )
    file = settings.home / _FILE
    if not file.exists():
        _make(file)
    return PrivateKeys.read(file.read_text("utf-8"), str(file))


def is_there(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a key to open with: on this machine always, since one is made."""
    return settings.environment is Environment.LOCAL or bool(environ.get(COLLECTION_KEY_VARIABLE, "").strip())


def was_made(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a key already: a question makes none."""
    return bool(environ.get(COLLECTION_KEY_VARIABLE, "").strip()) or (settings.home / _FILE).exists()


def _make(file: Path) -> None:
    """Write a new key, whole and readable by its owner only, unless another process is faster."""
    from credit_default.telemetry.encryption import new_key

    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as unfinished:
            unfinished.write(new_key() + "\n")
            unfinished.flush()
            os.fsync(unfinished.fileno())
        with suppress(FileExistsError):
            os.link(name, file)  # unlike a rename, this replaces no key that is there by now
    finally:
        Path(name).unlink()
