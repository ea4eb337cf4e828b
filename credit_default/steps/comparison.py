r"""Compare a challenger with the champion on labelled rows that neither was trained on.

::

    python -m credit_default.steps.comparison \
        --challenger LAKE/models/ID --challenger-sha256 SHA --challenger-manifest-sha256 SHA \
        --champion LAKE/models/ID --champion-sha256 SHA --champion-manifest-sha256 SHA \
        --prepared LAKE/prepared --output DIR

Measures only: what the figures come to is decided by whoever asked (`credit_default.core.promotion.decisions`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from credit_default.core.model import model_directory
from credit_default.core.model.model_directory import LoadedModel
from credit_default.core.promotion import comparison
from credit_default.core.promotion.holdout_rows import ROWS, holdout_rows
from credit_default.core.schema import AS_OF, PROTECTED, TARGET
from credit_default.errors import NotThere
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps import _models

#: In each of their segments, the challenger must not rank clearly worse.
SEGMENTATIONS = ("education", "repayment_status_1")
_MISSING = "missing"
_OLDEST_BAND = 60


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = _arguments(arguments)
    with reporting(options.output) as report:
        challenger = model_directory.load(options.challenger, _models.expectation(options, "challenger"))
        champion = model_directory.load(options.champion, _models.expectation(options, "champion"))
        prepared = _trained_on(options.prepared, challenger)
        if prepared is None:
            version = challenger.manifest["prepared_data_version"]
            raise NotThere(f"prepared data {version} is not there, on which the challenger was trained; train it again")
        rows = holdout_rows(prepared, _trained_on(options.prepared, champion), rows=options.rows)
        compared = comparison.compare(
            rows[TARGET].to_numpy().astype(np.int8),
            *(comparison.ScoredRows(model.probabilities(rows), model.threshold) for model in (champion, challenger)),
            segments={name: _words(rows, name) for name in SEGMENTATIONS},
            groups={name: _age_bands(rows) if name == "age" else _words(rows, name) for name in PROTECTED},
        )
        days = [day.isoformat() for day in rows[AS_OF].drop_null().to_pylist()]
        result = {**compared, "first_day": min(days, default=None), "last_day": max(days, default=None)}
        gain = compared["auc_gain"]
        told = "unknown, one class is missing" if gain is None else format(gain["estimate"], "+.4f")
        report.info(f"{rows.num_rows:,} rows; gain in ROC AUC: {told}")
        report.stored(data_version=challenger.sha256[:32], result=result, files={})


def _trained_on(prepared: Path, model: LoadedModel) -> Path | None:
    """Return the folder of the prepared data that a model was trained on, if it is here."""
    folder = prepared / str(model.manifest["prepared_data_version"])
    return folder if folder.is_dir() else None


def _words(rows: pa.Table, name: str) -> list[str]:
    return [value or _MISSING for value in rows[name].cast(pa.string()).to_pylist()]


def _age_bands(rows: pa.Table) -> list[str]:
    """Tens of years; all from 60 on are one band."""
    return [_MISSING if age is None else _age_band(int(age) // 10 * 10) for age in rows["age"].to_pylist()]


def _age_band(decade: int) -> str:
    return f"{_OLDEST_BAND} and over" if decade >= _OLDEST_BAND else f"{decade} to {decade + 9}"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare a challenger with the champion.")
    for model in ("challenger", "champion"):
        _models.add_model(parser, model)
    parser.add_argument("--prepared", type=Path, required=True, help="folder with every version of the prepared data")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many rows, the newest (default: {ROWS})")
    parser.add_argument("--output", type=Path, required=True, help="nothing is written; every step has it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
