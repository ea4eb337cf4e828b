"""Files that arrive from outside: what each holds, as it came.

A file is read whole or not at all: once, from one descriptor, into memory, and only when it and the files beside it
take no more of that than they may (`limits`). Nothing here guesses types: CSV fields stay text until the contract
judges them. Messages name file, line and column in printable form, and never quote a cell.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from credit_default.core.files.companions import DATA_SUFFIXES
from credit_default.core.files.csv_file import read_csv, size_in_memory
from credit_default.core.files.landing_folder import open_regular
from credit_default.core.files.limits import current_limits
from credit_default.core.files.parquet_file import read_parquet
from credit_default.core.files.raw_file import RawFile, refuse_size
from credit_default.core.printable import printable
from credit_default.errors import UnreadableFile


class ReadFiles:
    """Reads files that arrived together: each content once, all of them within the memory that files may take.

    Attributes
    ----------
    sha256
        Of each file that was read, by its printable name.
    same_as
        The file of the same bytes that was read in its place, for each file that was not.
    """

    def __init__(self, *, root: Path | None = None, follow_links: bool = False) -> None:
        """See `landing_folder.open_regular` for the parameters."""
        self._root = root
        self._follow_links = follow_links
        self._limits = current_limits()
        self._left = self._limits.max_bytes
        self._first: dict[str, str] = {}
        self.sha256: dict[str, str] = {}
        self.same_as: dict[str, str] = {}

    def read(self, path: Path) -> RawFile | None:
        """Read a CSV or Parquet file; None when one of the same bytes was read before.

        Raises
        ------
        UnreadableFile
            The file cannot be read at all.
        ContractError
            Its columns cannot be those of a table of ours.
        NotThere
            There is no such file.
        """
        try:
            return self._read(path)
        except MemoryError:
            raise UnreadableFile(
                f"{printable(path.name)}: takes more memory than this process has left; send fewer rows a day, or give "
                "the step more memory."
            ) from None

    def _read(self, path: Path) -> RawFile | None:
        name, suffix = printable(path.name), path.suffix.lower()
        with open_regular(path, root=self._root, follow_links=self._follow_links) as (stream, size):
            if suffix not in DATA_SUFFIXES:
                shown = printable(suffix)
                shown = f'"{shown}"' if shown != shown.strip() else shown  # a blank at its end cannot be seen
                got = f"the suffix {shown}" if suffix else "no suffix"
                raise UnreadableFile(f"{name}: has {got}; expected {' or '.join(DATA_SUFFIXES)}.")
            refuse_size(name, size, self._left, self._limits)
            data = stream.read(size)
        self.sha256[name] = digest = hashlib.sha256(data).hexdigest()
        if digest in self._first:
            self.same_as[name] = self._first[digest]
            return None
        self._first[digest] = name
        if suffix == ".csv":
            needed = size_in_memory(data)
            refuse_size(name, needed, self._left, self._limits)
            raw = read_csv(name, data, self._limits)
        else:
            raw = read_parquet(name, data, self._left, self._limits)
            needed = raw.table.nbytes
        self._left -= needed
        return raw


def read_file(path: Path) -> RawFile:
    """Read one file alone, see `ReadFiles.read`."""
    raw = ReadFiles().read(path)
    assert raw is not None, "there is no file before the first"
    return raw
