"""Names that Azure ML accepts."""

import re

from credit_default_tests.azure_emulator.azure_errors import bad_request

# The pattern that Azure's REST specifications give for names of datastores, assets and jobs.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")
# They give none for versions; this is what every version that was seen fits.
_VERSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}")

# Of endpoints and deployments: "Limits for online endpoints and batch endpoints" on Microsoft Learn.
_ENDPOINT = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]")


def check_name(kind: str, name: str) -> str:
    """Return a name that Azure ML accepts, and refuse another with its 400."""
    if not _NAME.fullmatch(name):
        raise bad_request(f"The {kind} name '{name}' does not fit {_NAME.pattern}.")
    return name


def check_version(version: str) -> str:
    """Return a version that Azure ML accepts for an asset, and refuse another with its 400."""
    if not _VERSION.fullmatch(version):
        raise bad_request(f"The version '{version}' does not fit {_VERSION.pattern}.")
    return version


def check_endpoint_name(name: str) -> str:
    """Return a name that Azure ML accepts for an endpoint or a deployment, and refuse another with its 400."""
    if not _ENDPOINT.fullmatch(name):
        raise bad_request(f"The name '{name}' does not fit {_ENDPOINT.pattern}.")
    return name
