"""Who gets which role on what. A change of this table is a change of who may do what."""

from __future__ import annotations

import json

import pytest

from credit_default_tests.deploy.deployed import ENVIRONMENTS, INFRASTRUCTURE, deployed, environment, registry

ROLES = {guid: name for name, guid in json.loads((INFRASTRUCTURE / "roles.json").read_text("utf-8")).items()}
#: Roles by which one could give oneself any other, or do everything.
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
#: How the ids of roles begin. Source: Microsoft's list of Azure's built-in roles.
IDS = {
    "acrPull": "7f951dda",
    "acrPush": "8311e382",
    "azureMlDataScientist": "f6c7c914",
    "azureMlRegistryUser": "1823dd4f",
    "contributor": "b24988ac",
    "keyVaultAdministrator": "00482a5a",
    "managedIdentityOperator": "f1a07417",
    "monitoringReader": "43d0d8ad",
    "reader": "acdd72a7",
    "storageBlobDataContributor": "ba92f5b4",
    "storageBlobDataReader": "2a2b9908",
    "storageFileDataPrivilegedContributor": "69566ab7",
    "storageFileDataPrivilegedReader": "b8eda974",
    "storageQueueDataContributor": "974c5e8b",
    "storageTableDataContributor": "0a9a7e1f",
}

#: Identity, role, type of the resource that it is given on.
EVERYWHERE = {
    # As Microsoft asks for the identity of a workspace, each on one resource.
    ("workspace", "contributor", "storageAccounts"),
    ("workspace", "storageBlobDataContributor", "storageAccounts"),
    ("workspace", "storageFileDataPrivilegedContributor", "storageAccounts"),
    ("workspace", "contributor", "vaults"),
    ("workspace", "keyVaultAdministrator", "vaults"),
    ("workspace", "contributor", "Microsoft.ContainerRegistry/registries"),
    ("workspace", "contributor", "components"),
    ("workspace", "contributor", "workspaces"),
    # Steps, and the queues and tables by which batch endpoints share out their work.
    ("compute", "storageBlobDataContributor", "storageAccounts"),
    ("compute", "storageQueueDataContributor", "storageAccounts"),
    ("compute", "storageTableDataContributor", "storageAccounts"),
    ("compute", "acrPull", "Microsoft.ContainerRegistry/registries"),
    # Containers of online deployments: their image, their code and their model.
    ("online", "acrPull", "Microsoft.ContainerRegistry/registries"),
    ("online", "storageBlobDataReader", "storageAccounts"),
    # Whoever makes the online endpoint hands it that identity.
    ("orchestrator", "managedIdentityOperator", "userAssignedIdentities"),
    ("ci", "managedIdentityOperator", "userAssignedIdentities"),
    # As the README says of whoever runs Dagster.
    ("orchestrator", "azureMlDataScientist", "workspaces"),
    ("orchestrator", "storageBlobDataContributor", "storageAccounts"),
    ("orchestrator", "monitoringReader", "components"),
    # Workflows deploy and launch the training; they ask nothing of telemetry.
    ("ci", "azureMlDataScientist", "workspaces"),
    ("ci", "storageBlobDataContributor", "storageAccounts"),
}
SHARED = "Microsoft.MachineLearningServices/registries"
#: Workflows share and promote. Jobs, deployments and Dagster use the workspace's own copy of a model.
ON_THE_REGISTRY = {
    # Made for trying out: what is trained there reaches nobody.
    "development": set(),
    # The one environment whose models become everybody's.
    "staging": {("ci", "azureMlRegistryUser", SHARED)},
    "production": {("ci", "reader", SHARED)},
}


ASSIGNMENTS = "Microsoft.Authorization/roleAssignments"
GROUP = "00000000-0000-0000-0000-00000000000d"
#: Role, type of the resource: what Microsoft asks for people where storage takes no keys, and to open the workspace.
OF_PEOPLE = {
    "read": {
        ("storageBlobDataReader", "storageAccounts"),
        ("storageFileDataPrivilegedReader", "storageAccounts"),
        ("reader", "workspaces"),
    },
    "write": {
        ("storageBlobDataContributor", "storageAccounts"),
        ("storageFileDataPrivilegedContributor", "storageAccounts"),
        ("azureMlDataScientist", "workspaces"),
    },
}


def test_names_of_roles_stand_for_these_roles():
    assert {name: guid.partition("-")[0] for guid, name in ROLES.items()} == IDS


def assignments(name: str):
    return environment(name).of(ASSIGNMENTS)


def told(assignment) -> tuple[str, str, str]:
    sent = assignment.config["properties"]
    identity = sent["principalId"].rpartition("-")[2]
    provider, kind = assignment.scope.split("/")[-3:-1]
    whole = f"{provider}/{kind}"
    return identity, ROLES[sent["roleDefinitionId"].rpartition("/")[2]], whole if kind == "registries" else kind


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_identity_has_these_roles_and_no_other(name):
    given = [told(assignment) for assignment in assignments(name)]
    assert len(given) == len(set(given))
    assert set(given) == EVERYWHERE | ON_THE_REGISTRY[name]


def test_identities_hand_on_the_online_one_and_no_other():
    for assignment in assignments("production"):
        if told(assignment)[1] == "managedIdentityOperator":
            assert assignment.scope.endswith("/id-credit-default-production-online")


def test_clusters_push_images_where_they_build_them_and_nowhere_else():
    usual = {told(one) for one in assignments("staging")}
    builds = {told(one) for one in deployed("staging", buildImagesOnCluster=True).of(ASSIGNMENTS)}
    assert builds - usual == {("compute", "acrPush", "Microsoft.ContainerRegistry/registries")}
    assert usual - builds == set()


@pytest.mark.parametrize(("name", "access"), [("development", "write"), ("staging", "write"), ("production", "read")])
def test_a_group_of_people_gets_what_the_studio_needs_and_in_production_changes_nothing(name, access):
    made = deployed(name, {"STUDIO_GROUP_ID": GROUP})
    of_people = [one for one in made.of(ASSIGNMENTS) if one.config["properties"]["principalType"] == "Group"]
    assert {one.config["properties"]["principalId"] for one in of_people} == {GROUP}
    assert {told(one)[1:] for one in of_people} == OF_PEOPLE[access]
    assert {one.scope for one in of_people} <= {one.id for one in made.resources}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_role_is_given_on_one_resource_to_an_identity_of_the_environment_and_says_what_for(name):
    made = {one.id for one in [*environment(name).resources, *registry().resources]}
    identities = {f"principal of {one.name}" for one in environment(name).resources if "userAssigned" in one.type}
    for assignment in assignments(name):
        sent = assignment.config["properties"]
        # Neither a resource group nor a subscription.
        assert assignment.scope in made
        assert sent["principalId"] in identities
        assert sent["principalType"] == "ServicePrincipal"
        assert len(sent["description"]) > 20
        assert sent["description"].endswith(".")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nobody_may_give_roles_and_only_azure_ml_itself_manages_resources(name):
    for assignment in assignments(name):
        role = assignment.config["properties"]["roleDefinitionId"].rpartition("/")[2]
        assert role not in {OWNER, USER_ACCESS_ADMINISTRATOR, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR}
        if ROLES[role] in {"contributor", "keyVaultAdministrator"}:
            assert told(assignment)[0] == "workspace"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_roles_have_names_of_their_own_so_that_a_second_deployment_changes_nothing(name):
    names = [assignment.name for assignment in assignments(name)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_jobs_and_the_workspace_act_as_the_identities_that_have_these_roles(name):
    (workspace,) = environment(name).of("Microsoft.MachineLearningServices/workspaces")
    identity = workspace.config["properties"]["primaryUserAssignedIdentity"]
    assert identity.endswith(f"/id-credit-default-{name}-workspace")
    assert workspace.config["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}}
    for cluster in environment(name).of("Microsoft.MachineLearningServices/workspaces/computes"):
        (own,) = cluster.config["identity"]["userAssignedIdentities"]
        assert own.endswith(f"/id-credit-default-{name}-compute")


def test_the_workspace_comes_after_the_roles_that_azure_ml_looks_for_when_it_is_made():
    order = [one.type for one in environment("production").resources]
    made = order.index("Microsoft.MachineLearningServices/workspaces")
    before = [told(one) for one in assignments("production") if environment("production").resources.index(one) < made]
    assert {one for one in EVERYWHERE if one[0] == "workspace" and one[2] != "workspaces"} <= set(before)
    main = (INFRASTRUCTURE / "main.bicep").read_text("utf-8")
    assert "dependsOn: [\n    resourceRoles\n  ]" in main.partition("module workspace ")[2].partition("\n}\n")[0]
