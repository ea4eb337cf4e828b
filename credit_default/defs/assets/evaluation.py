"""What is decided about a trained model: by itself when it is the first, beside the champion when there is one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dagster as dg

from credit_default.core import lake
from credit_default.core.model.model_folder import Expectation
from credit_default.core.promotion.decisions import judge_comparison
from credit_default.core.promotion.gates import Verdict, judge_absolute
from credit_default.core.stored_json import read_object
from credit_default.defs.shared.kills import run_whole
from credit_default.errors import DamagedFile
from credit_default.ports import Compute, ModelVersion, StepResult, Storage
from credit_default.resources.model_versions import expectation_of, options_of


@dataclass(frozen=True)
class Evaluation:
    """A verdict, and what it was reached by.

    Attributes
    ----------
    champion
        Version that the model was compared with; None for a first model.
    figures
        Of the comparison, see `credit_default.core.promotion.comparison.compare`.
    """

    verdict: Verdict
    champion: str | None = None
    figures: Mapping[str, Any] | None = None

    def stored(self) -> bytes:
        """Return what is kept of it as ``verdicts/<version>.json``."""
        content = {**self.verdict.as_dict(), "compared_with": self.champion, "figures": self.figures}
        return json.dumps(content, indent=2).encode()

    @staticmethod
    def read(content: bytes) -> "Evaluation":
        """Read what `stored` returned."""
        remedy = "put the verdict back, or train and register anew"
        stored = read_object(content, "the stored verdict", remedy, decision=str, criteria=list)
        try:
            verdict = Verdict.from_dict(stored)
        except TypeError as error:
            raise DamagedFile(f"the stored verdict is damaged: got other criteria than ours; {remedy}") from error
        return Evaluation(verdict, stored.get("compared_with"), stored.get("figures"))


def evaluate(
    context: dg.AssetExecutionContext,
    compute: Compute,
    storage: Storage,
    *,
    key: str,
    manifest: Mapping[str, Any],
    expectation: Expectation,
    champion: ModelVersion | None,
) -> Evaluation:
    """Judge the model in a folder of storage.

    Parameters
    ----------
    key
        Of the folder.
    manifest
        Of the model, which was held to the expectation.
    expectation
        What the folder is held to; it is not registered yet.
    champion
        The version that is live, if there is one and it is another.
    """
    alone = judge_absolute(manifest["metrics"]["test"], manifest["monotonicity"])
    if champion is None:
        return Evaluation(alone)
    options = {
        **options_of(expectation, "challenger-"),
        **options_of(expectation_of(champion, storage, context.log.warning), "champion-"),
    }
    inputs = {"challenger": key, "champion": champion.key, "prepared": lake.PREPARED}
    figures: Mapping[str, Any] = {}
    start = partial(compute.run, context, "comparison", inputs=inputs, options=options)
    for message in run_whole(start, log=context.log):
        assert isinstance(message, StepResult)
        figures = message.result
    beside = judge_comparison(figures, manifest["monotonicity"])
    # What it must reach by itself holds for every model, however bad the one that is live.
    gates = tuple(replace(criterion, name=f"alone: {criterion.name}") for criterion in alone.criteria)
    decision = beside.decision if alone.decision == "promote" else "reject"
    return Evaluation(Verdict(decision, (*beside.criteria, *gates)), champion.version, figures)
