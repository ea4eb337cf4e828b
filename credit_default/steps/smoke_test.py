"""Score a model's golden rows and compare them with what they scored in training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from credit_default.core.model import model_directory
from credit_default.core.plurals import plural
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps import _models


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the step; it fails when the model does not do what it did in training."""
    options = _arguments(arguments)
    with reporting(options.output) as report:
        model = model_directory.load(options.model, _models.expectation(options))
        result = model_directory.smoke_test(model)
        report.info(f"{plural(result['rows'], 'golden row')}, largest difference {result['largest_difference']:.1e}")
        report.stored(data_version=model.manifest["content_hash"], result=result, files={})


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    _models.add_model(parser)
    parser.add_argument("--output", type=Path, required=True, help="nothing is written; every step has it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
