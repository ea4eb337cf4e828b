"""The three environments and the registry as their parameters say, worked out once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import credit_default
from credit_default_tests.deploy.bicep import Deployment, deploy

DEPLOY = Path(credit_default.__file__).parent / "deploy"
INFRASTRUCTURE, QUERIES = DEPLOY / "infrastructure", DEPLOY / "queries"
FILES = sorted(INFRASTRUCTURE.rglob("*.bicep"))
ENVIRONMENTS = ("development", "staging", "production")
FEDERATED = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
REGISTRY_GROUP = "rg-credit-default-registry"
GIVEN = {
    "ALERT_EMAIL": "on-duty@example.com",
    "AZURE_ML_REGISTRY": "credit-default-models",
    "REGISTRY_RESOURCE_GROUP": REGISTRY_GROUP,
    "GITHUB_REPOSITORY": "example/credit-default",
}


@cache
def environment(name: str) -> Deployment:
    """Return what an environment consists of."""
    return deployed(name)


def deployed(name: str, environ: dict[str, str] | None = None, **changed: Any) -> Deployment:
    """Return what an environment consists of with other variables or parameters than usual."""
    file = INFRASTRUCTURE / "parameters" / f"{name}.bicepparam"
    return deploy(file, {**GIVEN, **(environ or {})}, f"rg-credit-default-{name}", **changed)


def trusted_subjects(name: str, **environ: str) -> list[str]:
    """Return the subjects of GitHub's jobs that the identity `ci` of an environment trusts."""
    return [one.config["properties"]["subject"] for one in deployed(name, environ).of(FEDERATED)]


@cache
def registry() -> Deployment:
    """Return what the shared registry consists of."""
    return deploy(INFRASTRUCTURE / "parameters" / "registry.bicepparam", GIVEN, REGISTRY_GROUP)
