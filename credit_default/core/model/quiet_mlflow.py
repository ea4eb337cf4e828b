"""What has to be settled before MLflow is imported, which acts at once on whatever it finds installed."""

from __future__ import annotations

import os
import sys
import warnings

#: The plugin by which MLflow reaches Azure ML; its addresses begin with the same word.
_PLUGIN = "azureml"


def settle(uri: str) -> None:
    """Let MLflow call nobody, and load its plugin for Azure ML only in a process that tracks there.

    The plugin is 260 modules, half of them the Azure SDK's: no process on this machine needs them. MLflow has no
    setting for its plugins; one that cannot be imported it passes over with a warning.

    Parameters
    ----------
    uri
        The tracking server of this process.
    """
    # MLflow starts to report usage to its makers as soon as it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if not uri.startswith(_PLUGIN) and _PLUGIN not in sys.modules:
        sys.modules[_PLUGIN] = None  # type: ignore[assignment] # Python's own mark for "not to be imported"
    if _PLUGIN in sys.modules and sys.modules[_PLUGIN] is None:
        # Each time: a filter is forgotten with the block that it was set in, and MLflow registers in several modules.
        warnings.filterwarnings("ignore", message=f'Failure attempting to register .*"{_PLUGIN}"')
