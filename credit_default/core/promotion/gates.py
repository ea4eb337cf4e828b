"""The gates that a first model has to pass, and what a verdict looks like. Plain Python: the orchestrator reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class AbsoluteThresholds:
    """What a model must reach by itself, without another one to compare it with."""

    roc_auc: float = 0.70
    calibration_slope: tuple[float, float] = (0.7, 1.4)
    #: Largest distance between the mean probability of default and the bad rate, as a share of the bad rate.
    calibration_in_the_large: float = 0.15
    #: Share of perturbed rows whose probability of default may fall although the client got worse.
    monotonicity_violations: float = 0.0


@dataclass(frozen=True)
class Criterion:
    """One requirement and whether it was met."""

    name: str
    value: float | None
    threshold: str
    passed: bool
    explanation: str


@dataclass(frozen=True)
class Verdict:
    """What was decided about a model, and on what grounds."""

    decision: Literal["promote", "hold", "reject"]
    criteria: tuple[Criterion, ...] = field(default_factory=tuple)

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """The requirements that were not met."""
        return tuple(criterion for criterion in self.criteria if not criterion.passed)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, as it is stored with a model version."""
        return {"decision": self.decision, "criteria": [asdict(criterion) for criterion in self.criteria]}

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Verdict:
        """Return what `as_dict` was made of; further keys are left out."""
        return Verdict(told["decision"], tuple(Criterion(**criterion) for criterion in told["criteria"]))


def judge_absolute(
    metrics: Mapping[str, Any],
    monotonicity: Mapping[str, Any],
    thresholds: AbsoluteThresholds | None = None,
) -> Verdict:
    """Judge a first model by itself.

    Parameters
    ----------
    metrics
        Figures of `credit_default.core.statistics.metrics.evaluate` on the test part.
    monotonicity
        Figures of `credit_default.core.model.training.measure_monotonicity`.

    Returns
    -------
    ``promote`` when every criterion holds, else ``reject``. A figure that could not be measured fails its
    criterion: what is unknown is not good enough.
    """
    limits = thresholds or AbsoluteThresholds()
    low, high = limits.calibration_slope
    slope = metrics.get("calibration_slope")
    distance = _relative_distance(metrics.get("mean_pd"), metrics.get("bad_rate"))
    gain = _difference(metrics.get("brier_of_base_rate"), metrics.get("brier"))
    auc = metrics.get("roc_auc")
    violations = monotonicity.get("violation_share")
    criteria = (
        Criterion(
            "roc_auc",
            auc,
            f">= {limits.roc_auc:g}",
            auc is not None and auc >= limits.roc_auc,
            "Chance that a client who defaulted scores above one who did not, on the test part.",
        ),
        Criterion(
            "calibration_slope",
            slope,
            f"{low:g} to {high:g}",
            slope is not None and low <= slope <= high,
            "1 is honest; below, probabilities are too extreme; above, too timid.",
        ),
        Criterion(
            "calibration_in_the_large",
            distance,
            f"<= {limits.calibration_in_the_large:g}",
            distance is not None and distance <= limits.calibration_in_the_large,
            "Distance of the mean probability of default from the bad rate, as a share of the bad rate.",
        ),
        Criterion(
            "brier_gain",
            gain,
            "> 0",
            gain is not None and gain > 0,
            "How much lower the Brier score is than that of always predicting the bad rate.",
        ),
        Criterion(
            "monotonicity_violations",
            violations,
            f"<= {limits.monotonicity_violations:g}",
            violations is not None and violations <= limits.monotonicity_violations,
            "Share of perturbed rows whose probability of default fell although the client got worse.",
        ),
    )
    return Verdict("promote" if all(criterion.passed for criterion in criteria) else "reject", criteria)


def _difference(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _relative_distance(mean: float | None, rate: float | None) -> float | None:
    return None if mean is None or not rate else abs(mean - rate) / rate
