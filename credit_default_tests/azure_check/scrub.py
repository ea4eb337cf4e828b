"""Removes secrets, rows and identities from what is kept of an exchange and from the report.

What is kept names nobody: ids and names are replaced by the same words in every process of one check, made by a hash
whose key is thrown away with it. Headers and members of a query are kept when they are known to be harmless, or removed
when they are known to be secret, whichever list is short.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

SECRET, TOKEN, OPAQUE = "<secret>", "<token>", "<opaque>"
#: Shorter values are found all over, and are no secrets.
_MIN_SECRET_LENGTH = 8
#: Members of a query that sign it: Storage's `sig`, and those of the addresses that Resource Manager polls.
_SIGNING = {"sig", "x-ms-sig", "s", "c", "h", "t", "code", "key"}
_NAMES_OF_SECRETS = re.compile(
    r"(token|secret|password|passphrase|pwd|signature|assertion|key|claims|connection_?string|authorization|cookie)s?$"
    r"|^key[12]$|^sas$|^DAGSTER_PIPES",
    re.IGNORECASE,
)
#: Of a parameter, a metric or a tag of MLflow, of the lake, of what a signature is for, and of a next page.
_NO_SECRETS = {"key", "storage_key", "hassastoken", "continuationtoken", "skiptoken"}
_WHO = {
    "createdby", "lastmodifiedby", "modifiedby", "username", "userprincipalname", "upn", "email", "owner", "user",
    "user_id", "mlflow.user",
    "ai.cloud.roleinstance", "ai.device.id", "ai.user.id", "service.instance.id",  # the machine that sends telemetry
}  # fmt: skip
_GUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
#: Where a word begins: also behind a character that is written as in a URL, or as in JSON within a text.
_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[nrt]))"
#: Base64 of a JSON object: a token, or the claims of a challenge, which hold network addresses.
_JWT = re.compile(r"eyJ[\w+/=-]{5,}(?:\.[\w-]+)*")
_BEARER = re.compile(r"\b(Bearer|Basic) (?=[^\s\"',]*\d)[\w+/=.~-]{12,}", re.IGNORECASE)
#: Also where `=` and `&` are written as in a URL, or as .NET writes them in JSON.
_EQUALS, _AND = r"(?:=|%(?:25)*3D|\\+u003d)", r"(?:&|%(?:25)*26|\\+u0026)"
_SIGNATURE = re.compile(
    rf"(?:(?<![A-Za-z])|(?<=%[0-9A-Fa-f]{{2}}))sig{_EQUALS}(?:(?!{_AND})[^\s\"'<>;])*", re.IGNORECASE
)
#: A member of a connection string, of a query without its host, or of JSON within a text.
_ASSIGNED = re.compile(
    r"(?<![\w-])(?P<name>[\w-]*(?:key|secret|password|pwd|token|authorization))(?P<is>\\*[\"']\s*:\s*\\*[\"']|=)"
    rf"(?:(?!{_AND})[^\s\"'<>;\\])+",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://(?:[^\s\"'<>\\]|\\+u0026)+")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_DIRECTORY = re.compile(r"(?<![\w-])[\w-]+\.onmicrosoft\.com", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.])")
_ADDRESS_6 = re.compile(r"(?<![\w:])[0-9A-Fa-f:]{3,39}(?![\w:])")
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
        long = {one for one in secrets if len(one) >= _MIN_SECRET_LENGTH}
        self._secrets = sorted(long | {quote(one, safe="") for one in long}, key=len, reverse=True)
        longest_first = sorted(map(re.escape, self._names), key=len, reverse=True)
        named = "|".join(longest_first) or r"(?!)"
        self._named = re.compile(rf"{_BEGINS}(?:{named})(?![A-Za-z0-9])", re.IGNORECASE)

    def text(self, text: str) -> str:
        """Return a text without secrets and identities."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        text = _BEARER.sub(rf"\1 {TOKEN}", _JWT.sub(TOKEN, text))
        text = _URL.sub(lambda found: self._unsigned(found[0]), text)
        text = _SIGNATURE.sub("", text)
        text = _LONG.sub(OPAQUE, _ASSIGNED.sub(rf"\g<name>\g<is>{SECRET}", text))
        text = self._named.sub(lambda found: self._names[found[0].lower()], text)
        text = _GUID.sub(lambda found: self._guid(found[0]), text)
        text = _ADDRESS_6.sub(_without_address, text)
        return _ADDRESS.sub("<address>", _DIRECTORY.sub("<directory>", _MAIL.sub("<someone>", text)))

    def body(self, value: Any) -> Any:
        """Return what JSON holds without secrets and identities."""
        if isinstance(value, Mapping):
            # A parameter or a tag of MLflow says its name beside its value.
            named = str(value.get("key"))
            return {
                self.text(name): self._member(named if name == "value" and named.lower() in _WHO else name, one)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self.body(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def query(self, query: str) -> dict[str, str]:
        """Return the members of a query that sign nothing."""
        members = parse_qsl(query, keep_blank_values=True)
        return {name: self.text(value) for name, value in members if not _signs(name)}

    def _member(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if name.lower() in _WHO:
            return "<someone>"
        if _is_secret(name):
            return SECRET if isinstance(value, str) else all_secret(value)
        return self.body(value)

    def _unsigned(self, url: str) -> str:
        try:
            parts = urlsplit(re.sub(r"\\+u0026", "&", url))
        except ValueError:
            return OPAQUE
        kept = [(name, value) for name, value in parse_qsl(parts.query, True) if not _signs(name)]
        # Without a fragment, and without who asks: a proxy's password, or the token of a clone.
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(kept), ""))

    def _guid(self, guid: str) -> str:
        digest = hmac.new(self._key, guid.lower().encode(), hashlib.sha256).hexdigest()
        return f"00000000-0000-0000-0000-{digest[:12]}"


def _signs(name: str) -> bool:
    """Whether a member of a query signs it, or opens something."""
    return name.lower() in _SIGNING or _is_secret(name)


def _is_secret(name: str) -> bool:
    """Whether the value of a member or of a variable is a secret, by its name."""
    return name.lower().lstrip("$") not in _NO_SECRETS and _NAMES_OF_SECRETS.search(name) is not None


def _without_address(found: re.Match[str]) -> str:
    try:
        ipaddress.IPv6Address(found[0])
    except ValueError:
        return found[0]  # such as a time
    return "<address>"


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
