"""Names on the wire, against the SDK's generated models."""

from credit_default_tests.azure_emulator.wire import unknown_names


def test_known_names_pass_through_every_level():
    job = {
        "properties": {
            "jobType": "Command",
            "inputs": {
                "table": {"jobInputType": "uri_file", "uri": "azureml://datastores/a/paths/b", "mode": "Download"}
            },
            "environmentVariables": {"ANY": "name"},
            "tags": {"any": "name"},
        }
    }

    assert unknown_names("JobBase", job) == []


def test_unknown_names_are_found_at_every_level():
    job = {
        "proprieties": {},
        "properties": {
            "jobType": "Command",
            "colour": "blue",
            "inputs": {"table": {"jobInputType": "uri_file", "adress": "azureml://datastores/a/paths/b"}},
        },
    }

    assert unknown_names("JobBase", job) == ["proprieties", "properties.colour", "properties.inputs.table.adress"]


def test_the_discriminator_decides_which_names_are_known():
    sweep = {"properties": {"jobType": "Sweep", "searchSpace": {}, "codeId": "of a command"}}

    assert unknown_names("JobBase", sweep) == ["properties.codeId"]


def test_pages_and_other_clients_models_are_walked():
    page = {"value": [{"properties": {"codeUri": "https://a", "codeUrl": "https://a"}}], "next": "https://b"}
    run = {"runId": "1", "runIdd": "1"}

    assert unknown_names("CodeVersion[]", page) == ["next", "properties.codeUrl"]
    assert unknown_names("runhistory.RunDetails", run) == ["runIdd"]
