"""Removes secrets, rows and identities from what is kept of an exchange and from the report.

What is kept names nobody: ids and names are replaced by the same words in every process of one check, made by a hash
whose key is thrown away with it. Headers and members of a query are kept when they are known to be harmless, or removed
when they are known to be secret, whichever list is short.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SECRET, TOKEN, OPAQUE = "<secret>", "<token>", "<opaque>"
#: Shorter values are found all over, and are no secrets.
_MIN_SECRET_LENGTH = 8
#: Members of a query that sign it: Storage's `sig`, and those of the addresses that Resource Manager polls.
_SIGNING = {"sig", "s", "c", "h", "t", "code", "token", "access_token", "key"}
_NAMES_OF_SECRETS = re.compile(
    r"(token|secret|password|signature|assertion|key|claims|connectionstring)$"
    r"|^DAGSTER_PIPES|CONNECTION_STRING$",
    re.IGNORECASE,
)
#: Of a parameter, a metric or a tag of MLflow, of the lake, and of what a signature is for.
_NO_SECRETS = {"key", "storage_key", "hasSasToken"}
_WHO = {
    "createdby", "lastmodifiedby", "modifiedby", "username", "userprincipalname", "upn", "email", "owner",
    "ai.cloud.roleinstance", "ai.device.id", "ai.user.id", "service.instance.id",  # the machine that sends telemetry
}  # fmt: skip
_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: Where a word begins: also behind a character that is written as in a URL.
_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
_JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_SIGNATURE = re.compile(r"\bsig(?:=|%3D)[^&\s\"'<>;]*", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s\"'<>\\]+")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DIRECTORY = re.compile(r"[\w-]+\.onmicrosoft\.com", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])")
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{200,}")


class Scrubber:
    """Replaces what must not be kept.

    Parameters
    ----------
    key
        Of the hash by which ids are replaced.
    names
        Names of resources, and what each is called instead.
    secrets
        Values that must not appear anywhere.
    """

    def __init__(self, key: bytes, names: Mapping[str, str], secrets: Iterable[str]) -> None:
        self._key = key
        self._names = {name.lower(): instead for name, instead in names.items()}
        self._secrets = sorted({one for one in secrets if len(one) >= _MIN_SECRET_LENGTH}, key=len, reverse=True)
        longest_first = sorted(map(re.escape, self._names), key=len, reverse=True)
        named = "|".join(longest_first) or r"(?!)"
        self._named = re.compile(rf"{_BEGINS}(?:{named})(?![A-Za-z0-9])", re.IGNORECASE)

    def text(self, text: str) -> str:
        """Return a text without secrets and identities."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        text = _JWT.sub(TOKEN, text)
        text = _URL.sub(lambda found: self._unsigned(found[0]), text)
        text = _LONG.sub(OPAQUE, _SIGNATURE.sub("", text))
        text = self._named.sub(lambda found: self._names[found[0].lower()], text)
        text = _GUID.sub(lambda found: self._guid(found[0]), text)
        return _ADDRESS.sub("<address>", _DIRECTORY.sub("<directory>", _MAIL.sub("<someone>", text)))

    def body(self, value: Any) -> Any:
        """Return what JSON holds without secrets and identities."""
        if isinstance(value, Mapping):
            return {self.text(name): self._member(name, one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.body(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def query(self, query: str) -> dict[str, str]:
        """Return the members of a query that sign nothing."""
        members = parse_qsl(query, keep_blank_values=True)
        return {name: self.text(value) for name, value in members if name.lower() not in _SIGNING}

    def _member(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if name.lower() in _WHO:
            return "<someone>"
        if name not in _NO_SECRETS and _NAMES_OF_SECRETS.search(name):
            return SECRET if isinstance(value, str) else all_secret(value)
        return self.body(value)

    def _unsigned(self, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return OPAQUE
        kept = [(name, value) for name, value in parse_qsl(parts.query, True) if name.lower() not in _SIGNING]
        return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(kept), ""))

    def _guid(self, guid: str) -> str:
        digest = hmac.new(self._key, guid.lower().encode(), hashlib.sha256).hexdigest()
        return f"00000000-0000-0000-0000-{digest[:12]}"


def all_secret(value: Any) -> Any:
    """Return the form of JSON with every text in it replaced: an answer that consists of secrets."""
    if isinstance(value, Mapping):
        return {name: all_secret(one) for name, one in value.items()}
    if isinstance(value, list):
        return [all_secret(one) for one in value]
    return SECRET if isinstance(value, str) else value


def form_of(value: Any) -> Any:
    """Return the form of JSON that holds rows: the type of every value in its place."""
    if isinstance(value, Mapping):
        return {name: form_of(one) for name, one in value.items()}
    if isinstance(value, list):
        return [form_of(one) for one in value[:1]] + ([f"... {len(value)} in all"] if len(value) > 1 else [])
    return "null" if value is None else type(value).__name__
