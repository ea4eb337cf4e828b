"""Whether a version was live, by a ledger that may have been forged."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from credit_default.core.lineage import promotion
from credit_default.core.lineage.evidence import Recorded, Run
from credit_default.core.promotion import ledger
from credit_default.core.promotion.ledger import Draft

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
VERDICT = json.dumps({"decision": "promote"}).encode()


def content(*lines: tuple[str, str, float], run_id: str = "deploying") -> bytes:
    """A ledger: action, version and hour of each line."""
    written = b""
    for action, version, hour in lines:
        sha256 = hashlib.sha256(VERDICT).hexdigest()
        draft = Draft(action=action, to_version=version, who="x", reason="y", run_id=run_id, verdict_sha256=sha256)
        written = ledger.append(written, draft, START + hour * HOUR)
    return written


HISTORY = (("promote", "1", 0), ("approve", "2", 9), ("promote", "2", 10), ("rollback", "1", 20), ("found", "3", 30))


def live(version: str, since: float, scored: float, lines=HISTORY, *, deploying_since: float = 50) -> str:
    """Whether a version was live; every line was entered by a run that began at an hour."""
    run = Run("deploying", "deploying", "deploy_model", "SUCCESS", START + deploying_since * HOUR, None)
    found = promotion.of_being_live(
        ledger.read(content(*lines)),
        version,
        since=START + since * HOUR,
        scored_at=START + scored * HOUR,
        run=lambda _: run,
    )
    return found.verdict


@pytest.mark.parametrize(
    ("version", "since", "scored", "verdict"),
    [
        ("1", 5, 5, "ok"),
        ("2", 5, 5, "altered"),
        ("2", 9.5, 9.5, "altered"),  # approved is not live
        ("2", 15, 15, "ok"),
        ("1", 9.9, 10.1, "ok"),  # it was live when the run began, and another one when it had scored
        ("2", 9.9, 10.1, "ok"),
        ("1", 10.1, 10.2, "altered"),
        ("1", 25, 25, "ok"),
        ("2", 25, 25, "altered"),
        ("3", 25, 25, "cannot be checked"),  # found live later: since when, nobody knows
        ("3", 15, 15, "altered"),
        ("9", 40, 40, "altered"),
        ("1", -5, -5, "altered"),
    ],
)
def test_a_version_was_live_between_its_line_and_the_next(version, since, scored, verdict):
    assert live(version, since, scored) == verdict


def test_a_version_may_answer_before_a_run_that_was_killed_in_between_enters_it():
    assert live("2", 9.5, 9.5, deploying_since=9) == "cannot be checked"
    assert live("2", 8.5, 8.5, deploying_since=9) == "altered"


def test_clocks_that_are_seconds_apart_make_no_alteration():
    seconds = 30 / 3600
    assert live("2", 10 - seconds, 10 - seconds) == "ok"
    assert live("1", 10 + seconds, 10 + seconds) == "ok"


def test_a_ledger_of_decisions_alone_says_of_nothing_that_it_was_live():
    assert live("1", 1, 1, [("refuse", "1", 0)]) == "cannot be checked"


def deployed(written: bytes) -> Recorded:
    """What the materialisation of batch_deployment says that came after these lines."""
    found = ledger.read(written)
    about = {"ledger_lines": len(found.entries), "ledger_head": found.head}
    return Recorded(run_id="deploying", at=START, data_version="d", code_version="c", metadata=about)


def of_ledger(written: bytes, *events: Recorded, status: str | None = "SUCCESS") -> dict[str, str]:
    run = Run("deploying", "deploying", "deploy_model", status, START, None) if status else None
    found = promotion.of_ledger(ledger.read(written), events, lambda _: run)
    return {one.what: one.verdict for one in found}


class TestTheLedger:
    whole = content(*HISTORY)

    def test_a_ledger_that_every_deployment_recorded_so_is_fine(self):
        events = [deployed(content(*HISTORY[:lines])) for lines in (1, 3, 5)]
        assert of_ledger(self.whole, *events) == {"ledger": "ok", "event log": "ok"}

    def test_what_persons_decide_is_recorded_by_no_deployment(self):
        more = content(*HISTORY, ("refuse", "2", 40))
        assert of_ledger(more, deployed(self.whole)) == {"ledger": "ok", "event log": "ok"}

    @pytest.mark.parametrize(("status", "verdict"), [
        ("FAILURE", "cannot be checked"),  # killed between the flip and its record
        ("STARTED", "cannot be checked"),
        ("SUCCESS", "altered"),
        (None, "altered"),
    ])  # fmt: skip
    def test_a_line_at_the_end_belongs_to_a_run_that_could_not_record_it_or_is_forged(self, status, verdict):
        more = content(*HISTORY, ("promote", "9", 40))
        assert of_ledger(more, deployed(self.whole), status=status)["event log"] == verdict

    def test_a_tail_that_was_written_anew_with_hashes_that_fit_is_found(self):
        forged = content(*HISTORY[:2], ("promote", "7", 10), *HISTORY[3:])
        assert ledger.read(forged).problems == ()
        assert of_ledger(forged, deployed(self.whole)) == {"ledger": "ok", "event log": "altered"}

    def test_lines_that_were_cut_off_are_found(self):
        assert of_ledger(content(*HISTORY[:4]), deployed(self.whole))["event log"] == "altered"

    def test_a_line_that_was_changed_is_found_by_the_chain(self):
        assert of_ledger(self.whole.replace(b'"2"', b'"8"'), deployed(self.whole))["ledger"] == "altered"
        assert of_ledger(b"no ledger\n{}\n", deployed(self.whole))["ledger"] == "altered"

    def test_a_ledger_that_is_gone_is_told_from_one_that_was_never_begun(self):
        assert of_ledger(b"", deployed(self.whole)) == {"ledger": "missing"}
        before = Recorded("run", START, "d", "c", {"live_version": "1"})
        assert of_ledger(b"", before) == {"ledger": "cannot be checked"}
        assert of_ledger(self.whole, before)["event log"] == "cannot be checked"


@pytest.mark.parametrize(
    ("stored", "tag", "lines", "verdict"),
    [
        (VERDICT, "promote", HISTORY, "ok"),
        (VERDICT, "promote", (), "ok"),
        (VERDICT, "hold", HISTORY, "altered"),
        (VERDICT + b"\n", "promote", HISTORY, "altered"),
        (b"{}", "promote", HISTORY, "altered"),
        (None, "promote", HISTORY, "missing"),
        (None, "promote", (), "cannot be checked"),  # shared by another workspace, where it was judged
    ],
)
def test_the_verdict_is_the_one_that_registry_and_ledger_know(stored, tag, lines, verdict):
    found = promotion.of_verdict(ledger.read(content(*lines)), "1", stored, tags={"verdict": tag})
    assert found.verdict == verdict
