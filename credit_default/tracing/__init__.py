"""From a prediction back to its source: gathers what is stored and recorded, and hands it to what can judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from credit_default.core import lake
from credit_default.core.lineage import evidence, prediction
from credit_default.core.lineage.evidence import Finding
from credit_default.errors import NoSuchPrediction
from credit_default.resources import resources_for
from credit_default.runs.instance import opened
from credit_default.settings import Settings
from credit_default.tracing.history import History
from credit_default.tracing.locating import locate
from credit_default.tracing.walk import Walk


@dataclass(frozen=True)
class Trace:
    """What was found on the way from a prediction to its source.

    Attributes
    ----------
    about
        Where the prediction is and what it came from: ids, hashes, versions and keys.
    values
        The values of its input row; None when that is not there.
    """

    prediction_id: str
    about: Mapping[str, Any]
    findings: tuple[Finding, ...]
    values: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> evidence.Verdict:
        """``ok``, ``altered`` or ``missing``."""
        return evidence.worst(self.findings)

    @property
    def conclusion(self) -> str:
        """How it ended, in one sentence."""
        return evidence.conclusion(self.findings)

    def as_dict(self, *, values: bool) -> dict[str, Any]:
        """Plain JSON, with the values of the row only when they are asked for."""
        return {
            "prediction_id": self.prediction_id,
            "verdict": self.verdict,
            "conclusion": self.conclusion,
            "about": dict(self.about),
            "findings": [asdict(finding) for finding in self.findings],
            **({"values": self.values} if values else {}),
        }


def trace(settings: Settings, prediction_id: str) -> Trace:
    """Walk from a prediction to its source.

    Raises
    ------
    NoSuchPrediction
        There is no such prediction.
    """
    parsed = prediction.parse_id(prediction_id)
    if parsed is None:
        raise NoSuchPrediction(
            f"{prediction_id!a} is no prediction_id; expected 16 hex digits, a hyphen and a number from 1"
        )
    prefix, row = parsed
    ports = resources_for(settings)
    with opened(settings) as instance:
        history = History(instance)
        located = locate(ports["storage"], history, prefix)
        if located is None:
            where = ports["storage"].uri(lake.PREDICTIONS)
            raise NoSuchPrediction(
                f"no prediction is kept or recorded whose id begins with {prefix}; looked in {where}"
            )
        walk = Walk(ports["storage"], ports["registry"], history, located, row=row, prediction_id=prediction_id)
        findings = tuple(walk.findings())
    return Trace(prediction_id, walk.about, findings, walk.values)
