"""The ledger of promotions: what is written is read again, and what was changed since is found."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_default.core.promotion.ledger import BEGINNING, Draft, Ledger, append, must_be_whole, read
from credit_default.errors import LedgerError

NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

versions = st.integers(1, 9).map(str)
drafts = st.builds(
    Draft,
    action=st.sampled_from(["promote", "rollback", "found", "approve", "refuse"]),
    to_version=versions,
    who=st.text(),
    reason=st.text(),
    verdict_sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    run_id=st.none() | st.uuids().map(str),
)
moments = st.timedeltas(timedelta(0), timedelta(days=9_000)).map(lambda since: NOON + since)
written = st.lists(st.tuples(drafts, moments), max_size=6)


def ledger_of(entries, content: bytes = b"") -> bytes:
    for draft, now in entries:
        content = append(content, draft, now)
    return content


def promote(version: str, **changes) -> Draft:
    return Draft(**{"action": "promote", "to_version": version, "who": "run 1", "reason": "better", **changes})


def simple(*actions: tuple[str, str]) -> bytes:
    """Entries a minute apart, from noon on."""
    return ledger_of((promote(to, action=action), NOON + n * MINUTE) for n, (action, to) in enumerate(actions))


THREE = simple(("promote", "1"), ("promote", "2"), ("rollback", "1"))


@given(written)
def test_whatever_is_appended_is_read_again_in_its_order(entries):
    content = ledger_of(entries)
    ledger = read(content)
    assert ledger.problems == ()
    assert ledger.torn == b""
    assert ledger.untrusted_from is None
    assert content.count(b"\n") == len(entries)
    assert [entry.number for entry in ledger.entries] == list(range(1, len(entries) + 1))
    for entry, (draft, _) in zip(ledger.entries, entries, strict=True):
        kept = {name: getattr(entry, name) for name in Draft.__dataclass_fields__}
        assert Draft(**kept) == draft


@given(written)
def test_each_line_holds_the_sha256_of_the_one_before_it(entries):
    content = ledger_of(entries)
    lines = content.splitlines()
    held = [json.loads(line)["previous"] for line in lines]
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    assert [*held, read(content).head] == [BEGINNING, *hashes]
    assert [entry.sha256 for entry in read(content).entries] == hashes


@given(written)
def test_time_never_goes_back_and_an_entry_says_when_the_clock_did(entries):
    latest = datetime.min.replace(tzinfo=UTC)
    for entry, (_, now) in zip(read(ledger_of(entries)).entries, entries, strict=True):
        assert entry.clock_went_back == (now < latest)
        assert entry.at == max(now, latest)
        latest = entry.at


@st.composite
def broken_in_the_middle(draw) -> tuple[bytes, int]:
    """A ledger that was changed before its last line, and the first line that is not as it was."""
    content = ledger_of(draw(st.lists(st.tuples(drafts, moments), min_size=3, max_size=6)))
    lines = content.splitlines(keepends=True)
    where = draw(st.integers(0, len(lines) - 2))
    match draw(st.sampled_from(["change", "remove", "swap", "insert", "repeat"])):
        case "change":
            line = bytearray(lines[where])
            place = draw(st.integers(0, len(line) - 1))
            line[place] = draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
            lines[where] = bytes(line)
        case "remove":
            del lines[where]
        case "swap":
            other = draw(st.integers(where + 1, len(lines) - 1))
            lines[where], lines[other] = lines[other], lines[where]
        case "insert":
            lines.insert(where, draw(st.binary(max_size=40).filter(lambda line: b"\n" not in line)) + b"\n")
        case "repeat":
            lines.insert(where, lines[where])
    return b"".join(lines), where + 1


@given(broken_in_the_middle())
def test_a_line_that_is_changed_removed_moved_or_put_in_between_is_found(case):
    content, line = case
    ledger = read(content)
    assert ledger.untrusted_from is not None
    assert ledger.untrusted_from <= line
    with pytest.raises(LedgerError, match=rf"cannot be relied on from line {ledger.untrusted_from} on"):
        append(content, promote("7"), NOON)


@given(st.binary(max_size=200))
def test_anything_can_be_read(content):
    assert isinstance(read(content), Ledger)


@given(written, st.integers(1, 400))
def test_a_ledger_that_is_cut_off_goes_on_from_its_last_whole_line(entries, cut):
    content = ledger_of(entries)
    kept = content[: max(len(content) - cut, 0)]
    ledger = read(kept)
    assert ledger.problems == ()
    assert kept == b"".join(line + b"\n" for line in content.splitlines()[: len(ledger.entries)]) + ledger.torn
    longer = read(append(kept, promote("7"), NOON))
    assert longer.problems == ()
    assert longer.torn == b""
    assert longer.entries[:-1] == ledger.entries
    assert longer.entries[-1].to_version == "7"


def test_the_line_that_was_changed_is_named_with_what_to_do():
    content = THREE.replace(b'"to_version": "2"', b'"to_version": "3"')
    with pytest.raises(LedgerError) as told:
        append(content, promote("4"), NOON)
    assert str(told.value) == (
        "The ledger of promotions, models/ledger.jsonl, cannot be relied on from line 2 on: line 2 is not the one that "
        "line 3 follows: it was changed, or lines between the two came or went. Nothing is written to it like this, "
        "and no version goes live: find out who changed it, put back a copy that is whole, or move it away to begin a "
        "new one"
    )


def test_what_was_written_before_and_after_a_broken_line_is_shown_all_the_same():
    first, _, third = THREE.splitlines(keepends=True)
    ledger = read(first + b"scribble\n" + third)
    assert [entry.number for entry in ledger.entries] == [1, 3]
    assert ledger.untrusted_from == 2
    assert str(ledger.problems[0]) == "line 2 is no entry of a ledger"


def test_a_beginning_that_is_gone_is_found():
    ledger = read(b"".join(THREE.splitlines(keepends=True)[1:]))
    assert ledger.untrusted_from == 1
    assert "line 1 does not begin the chain: lines before it are gone" in map(str, ledger.problems)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "1"},
        {"number": True},
        {"action": "crown"},
        {"to_version": None},
        {"at": "yesterday"},
        {"at": "2026-01-30T12:00:00"},
        {"clock_went_back": 0},
        {"who": None},
    ],
)
def test_an_object_that_is_no_entry_is_a_broken_line_and_not_a_torn_one(changes):
    (line,) = simple(("promote", "1")).splitlines()
    ledger = read(json.dumps({**json.loads(line), **changes}).encode() + b"\n")
    assert ledger.entries == ()
    assert ledger.untrusted_from == 1
    assert ledger.torn == b""


@pytest.mark.parametrize(
    "torn", [b"\n", b"\0" * 30, b'{"action": "prom', b'{"action": "prom\n', b"[" * 100_000, b"7\n"]
)
def test_a_torn_last_line_is_kept_apart(torn):
    ledger = read(THREE + torn)
    assert ledger.torn == torn
    assert ledger.problems == ()
    assert len(ledger.entries) == 3


def test_a_whole_line_without_its_end_counts_as_torn():
    ledger = read(THREE[:-1])
    assert len(ledger.entries) == 2
    assert ledger.torn == THREE.splitlines()[-1]


@pytest.mark.parametrize("between", [b"", b" ", b"\xff", b","])
def test_two_lines_that_lost_the_end_between_them_are_no_torn_line(between):
    first, second, third = THREE.splitlines(keepends=True)
    for end in (b"\n", b""):
        ledger = read(first + second[:-1] + between + third[:-1] + end)
        assert ledger.untrusted_from == 2
        assert ledger.torn == b""


def test_nothing_written_is_a_whole_ledger_that_says_nothing():
    ledger = must_be_whole(read(b""))
    assert (ledger.entries, ledger.live, ledger.head) == ((), None, BEGINNING)
    assert ledger.champion_at(NOON) is None
    assert ledger.decision_on("1") is None


def test_what_was_live_before_follows_from_the_entries_themselves():
    content = simple(("promote", "1"), ("refuse", "2"), ("found", "3"), ("rollback", "1"))
    entries = read(content).entries
    assert [entry.from_version for entry in entries] == [None, None, "1", "3"]


def test_the_champion_of_a_moment_is_the_one_that_was_made_live_last_by_then():
    ledger = read(simple(("promote", "1"), ("approve", "2"), ("promote", "2"), ("rollback", "1"), ("found", "3")))
    champions = [ledger.champion_at(NOON + minutes * MINUTE) for minutes in (-0.1, 0, 1.5, 2, 2.9, 3, 4, 10_000)]
    assert [found and found.to_version for found in champions] == [None, "1", "1", "2", "2", "1", "3", "3"]
    elsewhere = (NOON + 2 * MINUTE).astimezone(timezone(timedelta(hours=-11)))
    assert ledger.champion_at(elsewhere).to_version == "2"
    assert ledger.live == "3"
    assert [ledger.was_live(version) for version in ("1", "2", "3", "4")] == [True, True, True, False]


def test_the_latest_decision_of_a_person_on_a_version_counts():
    ledger = read(simple(("approve", "2"), ("refuse", "3"), ("refuse", "2"), ("promote", "2")))
    assert [ledger.decision_on(version).number for version in ("2", "3")] == [3, 2]
    assert ledger.decision_on("1") is None
