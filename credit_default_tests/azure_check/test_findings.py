"""The list of what nobody has verified, and the entries that the check has for its items, held together."""

from __future__ import annotations

import pytest

from credit_default_tests.azure_check import exchange_findings
from credit_default_tests.azure_check.findings import NOT_LOOKED_AT, Finding, Verdict, items, verdict_of
from credit_default_tests.azure_check.probes import PROBES
from credit_default_tests.azure_check.stages import STAGES

LOOKED_AT = {key for one in (*PROBES, *STAGES) for key in one.keys} | set(exchange_findings.KEYS)


def test_every_item_of_the_list_has_an_entry_and_every_entry_an_item():
    listed = {item.key: item for item in items()}
    lacking = [
        f"{item.key}: {item.text}" for item in listed.values() if item.key not in LOOKED_AT | NOT_LOOKED_AT.keys()
    ]
    assert lacking == [], "give each a probe, or say in NOT_LOOKED_AT why there is none"
    assert (LOOKED_AT | NOT_LOOKED_AT.keys()) - listed.keys() == set(), "no item has this key"
    assert LOOKED_AT & NOT_LOOKED_AT.keys() == set()


def listed(*bullets: str) -> str:
    section = "\n".join(f"- {bullet}" for bullet in bullets)
    return f"- no item\n\n## Not verified on a real workspace\n\nNobody did:\n\n{section}\n\n## B\n\n- none either\n"


def test_items_are_read_from_the_list_with_their_keys():
    found = items(listed("**a-key** what it is,\n  in two lines;", "**other** more."))
    assert [(item.key, item.text) for item in found] == [("a-key", "what it is, in two lines;"), ("other", "more.")]


@pytest.mark.parametrize(
    ("bullets", "problem"),
    [(("**a-key** one;", "two without."), "of this item.*two without"), (("**a** one;", "**a** two."), "key a: .*two")],
)
def test_an_item_without_a_key_of_its_own_is_named(bullets, problem):
    with pytest.raises(ValueError, match=problem):
        items(listed(*bullets))


def test_one_difference_makes_an_item_different():
    same, other = Finding("k", "?", "409", "409"), Finding("k", "?", "409", "412")
    assert [verdict_of(found) for found in ([], [same], [same, other])] == [
        Verdict.NOT_LOOKED_AT,
        Verdict.SEEN,
        Verdict.DIFFERENT,
    ]
