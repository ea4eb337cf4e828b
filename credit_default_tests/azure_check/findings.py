"""What is known of each assumption about Azure: seen, different, or not looked at, and what was observed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from credit_default_tests import azure_emulator

LIST = Path(azure_emulator.__file__).parent / "README.md"
_HEADING = "## Not verified on a real workspace"
_KEYED = re.compile(r"\*\*(?P<key>[a-z0-9-]+)\*\* (?P<text>.+)", re.DOTALL)


class Verdict(StrEnum):
    """Whether Azure does what the stand-in does."""

    SEEN = "seen"
    DIFFERENT = "different"
    NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    key
        Of the item of the list.
    what
        The question.
    expected
        What the stand-in does.
    observed
        What Azure did.
    detail
        More of it, such as the code of an error.
    """

    key: str
    what: str
    expected: str
    observed: str
    detail: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the two are the same."""
        return Verdict.SEEN if self.observed == self.expected else Verdict.DIFFERENT


@dataclass(frozen=True)
class Item:
    """An item of the list of what nobody has verified."""

    key: str
    text: str


#: Items that the check does not look at, and why.
NOT_LOOKED_AT = {
    "github-codes": "it takes a job of GitHub whose sign-in is refused: run a workflow of another branch",
    "roles": "it takes an identity with fewer rights than the one that runs this",
    "pre-emption": "Azure takes machines away when it wants to",
    "stuck-states": "Azure gets jobs into these states when it wants to",
    "run-pages": "it takes a search of hundreds of trials",
    "account-keys": "it takes an account whose keys are off, and one whose keys are on",
    "registry-deployments": "it takes a second deployment, and the platform makes none of that kind",
    "mlflow-filters": "jobs search for no runs; the item says which command does",
    "infrastructure": "it is made before a check can run; the item says by which commands each part is seen",
    "pipeline-nodes": "the platform submits no pipelines",
    "restarted-log": "it takes a machine that is taken away",
    "shell-commands": "a training that completes has shown it; a search of several trials shows it for those",
    "online-folders": "the program asks Azure for the folder of its model by AZUREML_MODEL_DIR, whatever that is",
    "registry-environments": "run `credit-default deploy environments --registry` twice, and look at both answers",
}


def items(text: str | None = None) -> list[Item]:
    """Return the items of the list.

    Raises
    ------
    ValueError
        An item has no key, or two have the same; the message says which.
    """
    section = (text or LIST.read_text("utf-8")).partition(_HEADING)[2].partition("\n## ")[0]
    found: dict[str, Item] = {}
    for bullet in re.findall(r"^- (.+?)(?=^- |\n\n|\Z)", section.strip() + "\n\n", re.DOTALL | re.MULTILINE):
        words = " ".join(bullet.split())
        match = _KEYED.fullmatch(words)
        if match is None:
            raise ValueError(f"No key at the beginning of this item, such as **some-words**: {words[:80]}")
        if match["key"] in found:
            raise ValueError(f"Two items have the key {match['key']}: {words[:80]}")
        found[match["key"]] = Item(match["key"], match["text"])
    return list(found.values())


def verdict_of(findings: list[Finding]) -> Verdict:
    """Return the verdict on an item: one difference is enough."""
    verdicts = {one.verdict for one in findings}
    if not verdicts:
        return Verdict.NOT_LOOKED_AT
    return Verdict.DIFFERENT if Verdict.DIFFERENT in verdicts else Verdict.SEEN
