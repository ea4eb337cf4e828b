"""Keys and sealing: only the private key opens, and nothing that is refused is quoted."""

from __future__ import annotations

import json

import pytest

from credit_default.errors import SettingsError, UnreadableMessage
from credit_default.telemetry.encryption import PrivateKeys, PublicKey, new_key


def private(*keys: str) -> PrivateKeys:
    return PrivateKeys.read(json.dumps({"keys": [json.loads(key) for key in keys]}), "KEY")


def public(keys: PrivateKeys) -> PublicKey:
    return PublicKey.read(keys.public(), "PUBLIC_KEY")


def test_what_the_public_part_seals_the_private_key_opens():
    keys = PrivateKeys.read(new_key(), "KEY")
    sealed = public(keys).seal(b"rows of clients")
    assert keys.open(sealed) == b"rows of clients"
    assert public(keys).seal(b"rows of clients") != sealed, "equal contents do not look equal"
    assert "d" not in json.loads(keys.public())


def test_of_a_set_the_first_seals_and_all_open():
    old, new = new_key(), new_key()
    rotated = private(new, old)
    assert rotated.open(public(private(old)).seal(b"before")) == b"before"
    sealed = public(rotated).seal(b"after")
    assert private(new).open(sealed) == b"after"
    with pytest.raises(UnreadableMessage, match="sealed with a key that is not among these"):
        private(old).open(sealed)


def test_what_is_derived_lasts_while_new_keys_are_put_first_and_differs_by_purpose():
    old, new = new_key(), new_key()
    assert private(new, old).derived("a") == private(old).derived("a")
    assert private(old).derived("a") != private(old).derived("b")
    assert private(old).derived("a") != private(new).derived("a")


@pytest.mark.parametrize("place", range(5))
def test_what_was_changed_in_any_part_does_not_open(place):
    keys = PrivateKeys.read(new_key(), "KEY")
    parts = public(keys).seal(b"rows of clients").split(".")
    parts[place] = parts[place][:-5] + ("AAAAA" if not parts[place].endswith("AAAAA") else "BBBBB")
    with pytest.raises(UnreadableMessage):
        keys.open(".".join(parts))


@pytest.mark.parametrize("sealed", ["", "a.b.c", "nonsense", "....", "{}", None])
def test_what_was_never_sealed_does_not_open(sealed):
    with pytest.raises(UnreadableMessage):
        PrivateKeys.read(new_key(), "KEY").open(sealed)


def of(**changed) -> str:
    return json.dumps({**json.loads(new_key()), **changed})


MALFORMED = [
    "",
    "hunter2",
    "[]",
    "17",
    '{"keys": []}',
    '{"keys": "hunter2"}',
    '{"keys": ["hunter2"]}',
    '{"kty": "oct", "k": "hunter2"}',
    '{"kty": "EC", "crv": "P-256"}',
    of(crv="P-521"),
    of(x="hunter2"),
    of(d="hunter2"),
    of(d=17),
    "[" * 100_000,
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_private_key_is_refused_by_the_name_of_what_holds_it_and_not_quoted(text):
    with pytest.raises(SettingsError, match=r"^CREDIT_DEFAULT_KEY .*credit-default collection-key") as caught:
        PrivateKeys.read(text, "CREDIT_DEFAULT_KEY")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_keys_in_each_others_place_are_refused_and_not_quoted():
    key = new_key()
    with pytest.raises(SettingsError, match="PUBLIC_KEY holds a private key; expected its public part only") as caught:
        PublicKey.read(key, "PUBLIC_KEY")
    assert json.loads(key)["d"] not in str(caught.value)
    with pytest.raises(SettingsError, match="KEY holds a public key; expected a private EC key"):
        PrivateKeys.read(PrivateKeys.read(key, "KEY").public(), "KEY")
