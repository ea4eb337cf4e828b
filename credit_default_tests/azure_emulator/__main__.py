"""Start the emulator by hand: ``python -m credit_default_tests.azure_emulator --home DIR``."""

import argparse
import asyncio
from pathlib import Path

from credit_default_tests.azure_emulator.process import run


def main() -> None:
    """Read the command line and run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m credit_default_tests.azure_emulator", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder for the emulator's files")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="stop as well when standard input ends: for a parent process"
    )
    parser.add_argument(
        "--shell", type=Path, metavar="FILE", help="write a file that, sourced, points a shell at a new workspace"
    )
    options = parser.parse_args()
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(home, until_stdin_closes=options.until_stdin_closes, shell=options.shell))


if __name__ == "__main__":
    main()
