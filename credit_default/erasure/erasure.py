"""Finds everything that is kept of one client, and says what can be erased. Changes nothing.

Every place of `core.personal_data` is searched file by file, through the storage port and so on Azure, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

from credit_default.core import lake
from credit_default.core.defects import as_unexpected
from credit_default.core.plurals import plural
from credit_default.core.printable import printable
from credit_default.defs.assets.online_inputs import collected_messages
from credit_default.erasure.client_search import MODEL_TABLES, ClientSearch, normalised_id
from credit_default.erasure.personal_data import PLACES, Place, Search
from credit_default.errors import CreditDefaultError, InputError, StorageError, UnreadableMessage
from credit_default.ports import ModelVersion, Storage, StoredFile, Telemetry
from credit_default.resources import resources_for
from credit_default.resources.local.storage import LocalStorage
from credit_default.settings import Settings
from credit_default.telemetry import collection_key

if TYPE_CHECKING:
    from credit_default.telemetry.encryption import PrivateKeys

_NO_TABLE = "is no CSV or Parquet file; look into it by hand"
_STRAY = f"is in no folder of {lake.LANDING}/ that is read; look into it by hand, and remove it"


@dataclass(frozen=True)
class Hit:
    """A file with rows of the client.

    Attributes
    ----------
    versions
        Registered versions of the model that stop being what they are when it is changed.
    """

    place: Place
    file: str
    rows: int
    versions: tuple[str, ...] = ()


@dataclass
class Footprint:
    """Places that hold rows of a client.

    Attributes
    ----------
    not_searched
        Files and places that could not be searched, and why.
    """

    hits: list[Hit] = field(default_factory=list)
    not_searched: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows of the client, counted in each file anew."""
        return sum(hit.rows for hit in self.hits)

    @property
    def versions(self) -> list[str]:
        """Versions that were trained with the client or hold rows of it."""
        return sorted({version for hit in self.hits for version in hit.versions}, key=lambda one: (len(one), one))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "rows": self.rows,
            "versions": self.versions,
            "files": [
                {
                    **{name: value for name, value in asdict(hit).items() if name != "place"},
                    "place": hit.place.key,
                    "erase": hit.place.erase,
                    "breaks": hit.place.breaks,
                }
                for hit in self.hits
            ],
            "not_searched": self.not_searched,
        }


def find_client(settings: Settings, client_id: str) -> Footprint:
    """Search everything for a client.

    Raises
    ------
    InputError
        It is no id of a client.
    """
    written = normalised_id(client_id)
    if not written:
        raise InputError("What was given is no client id; expected one as it stands in the files that arrived")
    return _FullSearch(settings, written).run()


class _FullSearch:
    """One search of all places."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        ports = resources_for(settings)
        self._settings = settings
        self._telemetry: Telemetry = ports["telemetry"]
        self._versions: list[ModelVersion] = ports["registry"].versions()
        self._roots: dict[str, Storage] = {"lake": ports["storage"], "home": LocalStorage(root=str(settings.home))}
        self._keys = _keys(settings)
        self._search = ClientSearch({client_id, *_pseudonyms(client_id, self._keys)})
        self._found = Footprint()

    def run(self) -> Footprint:
        files = list(self._files())
        # Files of models hold no ids: they are searched for what the other files say of the client.
        for of_models in (False, True):
            for place, key in files:
                if _is_of_model(place, key) is of_models:
                    self._file(place, key)
        self._strays()
        for place in PLACES:
            if place.search is Search.SEALED:
                self._collected(place)
            if place.search is Search.NONE and any(True for _ in self._listed(place)):
                self._found.not_searched[f"{place.key}/"] = f"{place.holds}; {place.erase}"
        order = {place: number for number, place in enumerate(PLACES)}
        self._found.hits.sort(key=lambda hit: (order[hit.place], hit.file))
        return self._found

    def _files(self) -> Iterator[tuple[Place, str]]:
        for place in PLACES:
            for file in self._listed(place):
                # On Azure, a file is fetched to be searched, so those that hold no rows are not.
                if self._search.may_hold_rows(file.key, place.search):
                    yield place, file.key
                elif file.size and self._search.may_hold_unknown(file.key, place.search):
                    self._found.not_searched[printable(file.key)] = _NO_TABLE

    def _strays(self) -> None:
        """Name the files that were landed where no step looks for any."""
        searched = tuple(f"{place.key}/" for place in PLACES)
        # A folder that cannot be listed is said by the place that it is in.
        with suppress(StorageError):
            for file in self._roots["lake"].files(lake.LANDING):
                if file.size and not file.key.startswith(searched):
                    self._found.not_searched[printable(file.key)] = _STRAY

    def _listed(self, place: Place) -> Iterator[StoredFile]:
        try:
            yield from self._roots[place.root].files(place.key)
        except StorageError as error:
            self._found.not_searched[f"{place.key}/"] = printable(_reason(error))

    def _file(self, place: Place, key: str) -> None:
        try:
            with self._roots[place.root].on_disk(key) as path:
                rows = self._search.rows(path, key, place.search)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the other files along
            self._found.not_searched[printable(key)] = _reason(error)
            return
        if rows:
            self._found.hits.append(Hit(place, printable(key), rows, self._versions_of(key)))

    def _versions_of(self, key: str) -> tuple[str, ...]:
        """Return the versions whose model or prepared data a file belongs to."""
        folder = "/".join(key.split("/")[:2])
        prepared = {one.version: lake.prepared(str(one.tags.get("prepared_data_version"))) for one in self._versions}
        return tuple(one.version for one in self._versions if folder in (one.key, prepared[one.version]))

    def _collected(self, place: Place) -> None:
        """Search what online requests held, which telemetry has sealed."""
        since = datetime.combine(self._settings.start, time(), UTC)
        try:
            messages = list(dict.fromkeys(collected_messages(self._telemetry, since, datetime.now(UTC))))
        except Exception as error:  # noqa: BLE001 - as for a file
            self._found.not_searched[f"{place.key}/"] = _reason(error)
            return
        opened = [_opened(message, self._keys) for message in messages]
        rows = sum(self._search.count(part) for part in opened if part is not None)
        if rows:
            self._found.hits.append(Hit(place, f"{place.key}/: collected messages", rows))
        if unopened := opened.count(None):
            self._found.not_searched[f"{place.key}/"] = (
                f"{unopened} of {plural(len(messages), 'collected message')} cannot be opened without the private key "
                "that it was sealed for"
            )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error if isinstance(error, CreditDefaultError) else as_unexpected(error)).removesuffix(".")


def _is_of_model(place: Place, key: str) -> bool:
    return place.search is Search.MODEL or (place.search is Search.MIXED and key.endswith(MODEL_TABLES))


def _opened(message: str, keys: PrivateKeys | None) -> Sequence[Mapping[str, Any]] | None:
    from credit_default.telemetry.collected_inputs import open_message

    try:
        return open_message(message, keys).rows if keys is not None else None
    except UnreadableMessage:
        return None


def _keys(settings: Settings) -> PrivateKeys | None:
    """Return the keys that open collected messages, if there are any; none is made here."""
    return collection_key.private_keys(settings) if collection_key.was_made(settings) else None


def _pseudonyms(client_id: str, keys: PrivateKeys | None) -> set[str]:
    from credit_default.telemetry.online_rows import pseudonym

    return set() if keys is None else {pseudonym(client_id, keys)}
