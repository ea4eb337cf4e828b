"""Finds the rows of one client in any file that the platform keeps. Returns counts and rows of features, never prints.

Ids are compared as the contract writes them, so ``1001`` is found where a file says ``1001.0``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from credit_default.core import lake
from credit_default.core.contract.client_ids import look_like_ids, normalise, rewrite
from credit_default.core.files.companions import DATA_SUFFIXES
from credit_default.core.files.reading import read_file
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, ID_COLUMNS
from credit_default.erasure.personal_data import Search
from credit_default.errors import ContractError, UnreadableFile

#: Files of a model's folder that hold rows of clients.
MODEL_TABLES = (lake.REFERENCE_FILE, lake.GOLDEN_FILE)
#: Bytes; the most that Arrow takes.
_MAX_BLOCK = 2**31 - 1
#: Ending of files that a process was broken off at; those in `lake.STAGING` have another name.
_UNFINISHED = ".unfinished"

#: What the rows of a client hold: a value for each feature.
Features = tuple[Any, ...]


def normalised_id(text: str) -> str:
    """Write an id as tables hold it; empty for what is no id."""
    ids, broken = normalise("", CLIENT_ID, pa.array([text]))
    return "" if broken else ids[0].as_py() or ""


class ClientSearch:
    """Searches files for a client.

    Parameters
    ----------
    ids
        By which the client is known: the id itself, and pseudonyms that were made of it.

    Attributes
    ----------
    features
        Rows of the client that were found so far. Files of models hold no ids, so they are searched last, for these.
    """

    def __init__(self, ids: Collection[str]) -> None:
        self._ids = pa.array(sorted(ids), pa.string())
        self.features: set[Features] = set()

    @staticmethod
    def may_hold_rows(name: str, search: Search) -> bool:
        """Whether a file of this name holds rows of clients in a place that is searched so."""
        last = PurePosixPath(name).name
        if search is Search.MIXED:
            search = _kind_of(last)
        match search:
            case Search.LANDED:
                # Hidden ones too: no step reads them, and they hold what they hold.
                return last.lower().endswith(DATA_SUFFIXES)
            case Search.REJECTED:
                return last == lake.REJECTED_FILE
            case Search.MODEL:
                return last in MODEL_TABLES
            case Search.TABLE:
                return last.endswith(".parquet")
        return False

    @staticmethod
    def may_hold_unknown(name: str, search: Search) -> bool:
        """Whether a file of this name may hold rows in a form that is not searched."""
        return not ClientSearch.may_hold_rows(name, search) and (
            search is Search.LANDED or name.endswith(_UNFINISHED) or PurePosixPath(name).parts[0] == lake.STAGING
        )

    def rows(self, path: Path, name: str, search: Search) -> int:
        """Count the client's rows in a file.

        Raises
        ------
        CreditDefaultError
            The file cannot be searched, for the reason that is given.
        """
        match _kind_of(PurePosixPath(name).name) if search is Search.MIXED else search:
            case Search.LANDED:
                return self._landed(path)
            case Search.REJECTED:
                return self._rejected(path)
            case Search.MODEL:
                return self._equal(path)
        return self._table(path)

    def count(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Count the client's rows among rows that were read already."""
        return sum(self._is_client(row.get(CLIENT_ID)) for row in rows)

    def _table(self, path: Path) -> int:
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                names = file.schema_arrow.names
                if CLIENT_ID not in names:
                    return 0
                found = 0
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=[CLIENT_ID])[CLIENT_ID].cast(pa.string())
                    mask = self._mask(rewrite(ids))  # tables from before ids were normalised hold `1001.0`
                    count = pc.sum(mask).as_py() or 0
                    found += count
                    if count and set(FEATURE_NAMES) <= set(names):
                        self._remember(file.read_row_group(group, columns=list(FEATURE_NAMES)).filter(mask))
                return found
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(f"is no sound Parquet file ({type(error).__name__}); look into it by hand") from None

    def _landed(self, path: Path) -> int:
        raw = read_file(path)
        names = [name for name in raw.table.column_names if name in ID_COLUMNS]
        names += [name for name in look_like_ids(raw.table.column_names) if name not in names]
        is_client = pa.array([False] * raw.table.num_rows)
        for name in names:
            try:
                ids, _ = normalise(raw.name, name, raw.table[name].combine_chunks())
            except ContractError:
                continue  # of a type that holds no ids
            is_client = pc.or_(is_client, self._mask(ids))
        malformed = sum(self._is_in_text(row.text) for row in raw.malformed)
        return (pc.sum(is_client).as_py() or 0) + malformed

    def _rejected(self, path: Path) -> int:
        # A row has to fit into one block, and some are of many megabytes.
        read = arrow_csv.ReadOptions(block_size=min(max(path.stat().st_size, 1), _MAX_BLOCK))
        options = arrow_csv.ParseOptions(newlines_in_values=True)
        types = arrow_csv.ConvertOptions(column_types={"row": pa.string()}, include_columns=["row"])
        try:
            found = arrow_csv.read_csv(path, read_options=read, parse_options=options, convert_options=types)
            texts = found["row"].to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise UnreadableFile(f"is no list of refused rows ({type(error).__name__}); look into it by hand") from None
        return sum(self._is_in_rejected(text) for text in texts)

    def _is_in_rejected(self, text: str) -> bool:
        try:
            row = json.loads(text)
            if row.keys() == {"text"}:  # a line that was no row
                return self._is_in_text(row["text"])
            names = {*ID_COLUMNS, *look_like_ids(row)}
            return any(self._is_client(value) for name, value in row.items() if name in names)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return self._is_in_text(str(text))

    def _is_in_text(self, text: str) -> bool:
        """Whether any field of a line is the id; a malformed line does not say which of its fields is the id."""
        try:
            fields = next(csv.reader([text]), [])
        except csv.Error:
            fields = text.split(",")
        return any(self._is_client(field) for field in fields)

    def _is_client(self, value: object) -> bool:
        return value is not None and bool(self._mask(pa.array([normalised_id(str(value))]))[0].as_py())

    def _equal(self, path: Path) -> int:
        if not self.features:
            return 0
        try:
            rows = pq.read_table(path, columns=list(FEATURE_NAMES)).to_pylist()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UnreadableFile(f"is no sound Parquet file ({type(error).__name__}); look into it by hand") from None
        return sum(_values(row) in self.features for row in rows)

    def _remember(self, rows: pa.Table) -> None:
        self.features.update(_values(row) for row in rows.to_pylist())

    def _mask(self, ids: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        return pc.is_in(ids.cast(pa.string()), value_set=self._ids)


def _kind_of(last: str) -> Search:
    if last == lake.REJECTED_FILE:
        return Search.REJECTED
    return Search.MODEL if last in MODEL_TABLES else Search.TABLE


def _values(row: Mapping[str, Any]) -> Features:
    return tuple(row[name] for name in FEATURE_NAMES)
