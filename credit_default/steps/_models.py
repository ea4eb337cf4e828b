"""Options by which a step gets a model folder and what the registry says about it."""

from __future__ import annotations

import argparse
from pathlib import Path

from credit_default.core.model.model_folder import UNKNOWN, Expectation


def add_model(parser: argparse.ArgumentParser, name: str = "model") -> None:
    """Add ``--<name>``, the folder, and the two hashes that it is held to."""
    prefix = "" if name == "model" else f"{name}-"
    parser.add_argument(f"--{name}", type=Path, required=True, help=f"model directory of the {name}")
    parser.add_argument(f"--{name}-sha256", required=True, help="what the registry says of its model file")
    parser.add_argument(
        f"--{prefix}manifest-sha256",
        required=True,
        help=f"what the registry says of its manifest; {UNKNOWN}: a version from before it said so",
    )


def expectation(options: argparse.Namespace, name: str = "model") -> Expectation:
    """Return what the options of `add_model` say."""
    prefix = "" if name == "model" else f"{name}_"
    sha256 = getattr(options, f"{name}_sha256")
    return Expectation.of(sha256, getattr(options, f"{prefix}manifest_sha256"))
