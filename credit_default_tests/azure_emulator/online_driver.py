"""What runs on the node of an online deployment: Microsoft's own inference server, as its images start it.

In a container of its own it listens at every address; here at loopback only, and what it imports besides its packages
is the code of the deployment.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve until told to stop; the server reads the command line."""
    sys.path[0] = os.environ["AML_APP_ROOT"]
    from azureml_inference_server_http import constants

    constants.DEFAULT_HOST = "127.0.0.1"  # before the server's own module takes it from there
    from azureml_inference_server_http.amlserver import run

    run()


if __name__ == "__main__":
    main()
