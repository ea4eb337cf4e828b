"""Files that come along with data files and hold no rows: named and left out, so that no day fails by them."""

from __future__ import annotations

from fnmatch import fnmatchcase

#: How the names of files with rows end.
DATA_SUFFIXES = (".csv", ".parquet")
HIDDEN = "hidden, since its name begins with a dot or an underscore"
COMPANION = "comes along with data and holds no rows"
UNFINISHED = "is an upload under way; it is read once it has its final name"
#: Written by file managers and office programs, and by senders to say that a delivery is complete or what it sums to.
_COMPANIONS = (
    *("desktop.ini", "thumbs.db", "ehthumbs.db", "icon\r", "~$*", "*~", "*.lnk", "*.url", "*.lock"),
    *("*.done", "*.ok", "*.ready", "*.complete", "*.finished", "*.fin", "*.trg", "*.flag", "success", "done"),
    *("*.md5sum", "*.sha1sum", "*.sha256sum", "*.sha512sum", "*:zone.identifier", "*.bak"),
    *("*.md5", "*.sha1", "*.sha256", "*.sha384", "*.sha512", "*.crc", "*.crc32", "*.sfv", "*.sig", "*.asc"),
    *("md5sum", "md5sums", "md5sum.txt", "sha1sums", "sha256sum", "sha256sums", "sha512sums", "checksums.txt"),
)
#: Names that transfer programs and browsers give to a file until it is whole.
_UNFINISHED = ("*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.uploading")


def is_hidden(name: str) -> bool:
    """Whether tools keep their own things under this name; only one that looks like data is worth a word."""
    return name.startswith((".", "_"))


def companion_reason(name: str) -> str | None:
    """Say why a file beside the data is not read; None for a data file.

    An upload under way counts as a companion too: what is there without it is read now, and the day is read again
    when the file gets its final name. A fingerprint leaves all of them out, since none changes what is read.
    """
    lower = name.lower()
    if is_hidden(name):
        return HIDDEN
    if any(fnmatchcase(lower, pattern) for pattern in _UNFINISHED):
        return UNFINISHED
    return COMPANION if any(fnmatchcase(lower, pattern) for pattern in _COMPANIONS) else None


def is_companion(name: str) -> bool:
    """Whether a file holds no rows by its name, see `companion_reason`."""
    return companion_reason(name) is not None
