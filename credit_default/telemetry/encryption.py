"""Sealing with a public key: whoever holds it can seal, and only who holds the private one can open.

JSON Web Encryption in its compact form (RFC 7516): ``ECDH-ES`` on P-256, ``A256GCM``, ``zip: DEF``. Keys are JSON Web
Keys (RFC 7517), one alone or several as a set: the first seals and all of them open, so that a key is replaced by
putting the new one first. A key's ``kid`` is its thumbprint (RFC 7638), whatever it says itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jwcrypto.common import JWException, base64url_decode
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from credit_default.errors import SettingsError, UnreadableMessage

_KIND = {"kty": "EC", "crv": "P-256"}
_ALGORITHMS = ("ECDH-ES", "A256GCM")
_MAKE_ONE = "make a private one with `credit-default collection-key`"
#: What was sealed is a message's worth of rows; more than this was made to exhaust whoever opens it.
_LARGEST_BYTES = 16 * 1024 * 1024


def new_key() -> str:
    """Make a private key and return it as JSON."""
    key = JWK.generate(**_KIND)
    return json.dumps({**key.export(private_key=True, as_dict=True), "kid": key.thumbprint()})


@dataclass(frozen=True)
class PublicKey:
    """Seals."""

    _key: JWK

    @classmethod
    def read(cls, text: str, where: str) -> PublicKey:
        """Read a public key, or the first one of a set.

        Parameters
        ----------
        where
            What holds it, for the message: the name of a variable or a file.

        Raises
        ------
        SettingsError
            It is none, or a private one, which does not belong there.
        """
        found = list(_read(text, where, "a public EC key on P-256 as a JSON Web Key, or a set of them"))
        if any("d" in members for members in found):
            raise SettingsError(f"{where} holds a private key; expected its public part only; {_MAKE_ONE}")
        return cls(_key(found[0], where))

    def seal(self, content: bytes) -> str:
        """Seal some bytes."""
        algorithm, encryption = _ALGORITHMS
        header = {"alg": algorithm, "enc": encryption, "zip": "DEF", "kid": self._key["kid"]}
        sealed = JWE(content, header, algs=list(_ALGORITHMS), recipient=self._key)
        return str(sealed.serialize(compact=True))


@dataclass(frozen=True)
class PrivateKeys:
    """Open what any of their public parts has sealed."""

    _keys: tuple[JWK, ...]

    @classmethod
    def read(cls, text: str, where: str) -> PrivateKeys:
        """Read a private key, or a set of them.

        Raises
        ------
        SettingsError
            One of them is none. It is a secret and is not quoted.
        """
        expected = "a private EC key on P-256 as a JSON Web Key, or a set of them"
        found = list(_read(text, where, expected))
        if not all("d" in members for members in found):
            raise SettingsError(f"{where} holds a public key; expected {expected}; {_MAKE_ONE}")
        return cls(tuple(_key(members, where) for members in found))

    def public(self) -> str:
        """Return the public part of the key that seals, as JSON."""
        return str(self._keys[0].export_public())

    def open(self, sealed: str) -> bytes:
        """Open what was sealed.

        Raises
        ------
        UnreadableMessage
            None of the keys opens it. Says why, and nothing about the content.
        """
        try:
            token = JWE(algs=list(_ALGORITHMS))
            token.deserialize(sealed)
            kid = token.jose_header.get("kid")
            key = next((key for key in self._keys if key["kid"] == kid), None)
            if key is None:
                raise UnreadableMessage("sealed with a key that is not among these")
            token.decrypt(key, max_plaintext=_LARGEST_BYTES)
        except (JWException, ValueError, TypeError, AttributeError):
            raise UnreadableMessage("damaged or changed since it was sealed") from None
        return bytes(token.payload)

    def derived(self, purpose: str) -> bytes:
        """Return 32 bytes that follow from the last key, the oldest one: they last while new keys are put first."""
        secret = base64url_decode(self._keys[-1].export(as_dict=True)["d"])
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode()).derive(secret)


def _read(text: str, where: str, expected: str) -> Iterator[Mapping[str, Any]]:
    """Yield the members of each key that count."""
    malformed = SettingsError(f"{where} is malformed; expected {expected}; {_MAKE_ONE}")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed from None
    keys = told.get("keys") if isinstance(told, dict) and "keys" in told else [told]
    if not isinstance(keys, Sequence) or isinstance(keys, str) or not keys:
        raise malformed
    for key in keys:
        if not isinstance(key, dict) or any(key.get(name) != value for name, value in _KIND.items()):
            raise malformed
        yield {name: key[name] for name in ("kty", "crv", "x", "y", "d") if name in key}


def _key(members: Mapping[str, Any], where: str) -> JWK:
    try:
        key = JWK(**members)
        key.export_to_pem(private_key="d" in members, password=None)  # only now are its numbers looked at
        return JWK(**members, kid=key.thumbprint())
    except (JWException, ValueError, TypeError, AttributeError):
        raise SettingsError(f"{where} holds a key whose numbers are no point of its curve; {_MAKE_ONE}") from None
