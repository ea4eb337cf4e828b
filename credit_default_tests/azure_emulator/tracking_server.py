"""Serves MLflow: the application that ``mlflow server`` serves, without the process in between.

That command imports MLflow once to read its options and a second time to serve, which doubles the time and the memory
that a start takes.
"""

import argparse
import os
from pathlib import Path


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the database and the artifacts")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # further processes, for evaluations of agents
    }

    import uvicorn
    from mlflow.server import constants

    database = f"sqlite:///{options.home / 'mlflow.db'}"
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.REGISTRY_STORE_URI_ENV_VAR: database,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(options.home / "artifacts"),
    }
    # Before anybody asks: two first requests at once would both make the tables.
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(database, database, "mlflow-artifacts:/")
    uvicorn.run("mlflow.server.fastapi_app:app", host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
