"""`make azure-demo`: the whole demo in `development`, against the stand-in for Azure, and what came of it brought here.

Nothing of the platform knows: it gets the settings of an Azure environment, and the real SDK does the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from credit_default import settings
from credit_default.settings import HOME_VARIABLE
from credit_default_tests.azure_emulator import Emulator, Workspace
from credit_default_tests.same_results import compare

#: A job here lasts seconds, where on Azure it waits minutes for a machine.
_IMPATIENT = {"CREDIT_DEFAULT_POLL_SECONDS": "0.5", "CREDIT_DEFAULT_INSTANCE_COUNT": "2"}


def main() -> None:
    """Play the demo, bring the lake here, and compare it with that of `make demo`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".azure-demo"), help="where everything is kept; made anew")
    parser.add_argument(
        "--like",
        type=Path,
        default=settings.read({HOME_VARIABLE: os.environ.get(HOME_VARIABLE, "")}).lake,
        help="lake of a local demo, to compare with",
    )
    parser.add_argument("--dev", action="store_true", help="open the UI afterwards, until Ctrl-C")
    options, of_demo = parser.parse_known_args()
    shutil.rmtree(options.home, ignore_errors=True)
    with Emulator.started(options.home / "emulator") as emulator:
        workspace = emulator.workspace()
        told = {
            **emulator.environment,
            **workspace.settings,
            **_IMPATIENT,
            "CREDIT_DEFAULT_ENV": "development",
            "CREDIT_DEFAULT_HOME": str((options.home / "home").absolute()),
        }
        command = Path(sys.executable).with_name("credit-default")
        with patch.dict(os.environ, told):
            played = subprocess.run([command, "demo", *of_demo], check=False)
            if played.returncode == 0:
                _bring(workspace, options.home / "lake")
                print(f"A copy of the lake is in {options.home / 'lake'}; the stand-in itself ends with this command.")
            if options.dev:
                subprocess.run([command, "dev"], check=False)
        unknown = emulator.unknown()
    if played.returncode:
        sys.exit(played.returncode)
    sys.exit(compare(options.like, options.home / "lake") or bool(unknown))


def _bring(workspace: Workspace, lake: Path) -> None:
    """Copy every blob of the lake here."""
    account = f"https://{workspace.account}.blob.core.windows.net"
    with DefaultAzureCredential() as credential, ContainerClient(account, workspace.container, credential) as container:
        for name in container.list_blob_names():
            path = lake / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(container.download_blob(name).readall())


if __name__ == "__main__":
    main()
