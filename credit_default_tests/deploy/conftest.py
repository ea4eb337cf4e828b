"""Environments that the tests of a module share, since making them takes a while."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from credit_default.settings import COLLECTION_KEY_VARIABLE
from credit_default.telemetry.encryption import new_key
from credit_default_tests.azure_emulator.certificates import make_certificates
from credit_default_tests.conftest import _OF_AZURE, _OF_PROXIES
from credit_default_tests.deploy.delivery import Delivery
from credit_default_tests.deploy.proxies import PASSWORD, Site, nginx
from credit_default_tests.deploy.servers import free_port


@pytest.fixture(scope="module")
def delivery(emulator, tmp_path_factory) -> Iterator[Delivery]:
    """Development, staging and production, in a shell that has the secrets and is set up for none of them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OF_AZURE) and name.upper() not in _OF_PROXIES
    }
    shell = {**kept, **emulator.environment, COLLECTION_KEY_VARIABLE: new_key(), "AZUREML_CURRENT_CLOUD": "AzureCloud"}
    with patch.dict(os.environ, shell, clear=True):
        yield Delivery(emulator, tmp_path_factory.mktemp("delivery"))
    emulator.clear_faults()
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """Start nginx in front of a port of 127.0.0.1; gives the site, the one without TLS, and the log of requests."""
    made = make_certificates(tmp_path_factory.mktemp("certificates"))
    hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, check=True).stdout
    files = {
        "tls.crt": made.certificate.read_bytes(),
        "tls.key": made.key.read_bytes(),
        "users": b"ann:" + hashed,
    }

    @contextlib.contextmanager
    def start(*, login: str, web: int, login_port: int = 1, host: str = ""):
        port, plain = free_port(), free_port()
        settings = {
            "PUBLIC_HOST": host or f"127.0.0.1:{port}",
            "LOGIN": login,
            "LOGIN_SERVER": f"127.0.0.1:{login_port}",
            "WEB_SERVER": f"127.0.0.1:{web}",
            "HTTP_PORT": str(plain),
            "HTTPS_PORT": str(port),
        }
        with nginx(tmp_path_factory.mktemp("nginx") / "etc", settings, files) as log:
            yield Site(port, made.bundle), Site(plain), log

    return start
