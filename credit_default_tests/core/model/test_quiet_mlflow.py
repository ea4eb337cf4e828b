"""The plugin of MLflow for Azure ML: left out, unless Azure ML is where a process tracks."""

from __future__ import annotations

import sys
import warnings

import pytest

from credit_default.core.model.quiet_mlflow import settle


@pytest.mark.parametrize(
    ("uri", "is_left_out"),
    [
        ("", True),
        ("sqlite:////lake/mlflow.db", True),
        ("https://mlflow.example/azureml", True),
        ("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/x", False),
    ],
)
def test_the_plugin_is_there_for_whoever_tracks_in_azure_ml(monkeypatch, uri, is_left_out):
    monkeypatch.setitem(sys.modules, "azureml", None)  # so that it is as it was at the end
    del sys.modules["azureml"]
    with warnings.catch_warnings():
        settle(uri)
    assert ("azureml" in sys.modules) is is_left_out


def test_mlflow_says_nothing_of_it_wherever_it_is_imported_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "azureml", None)
    del sys.modules["azureml"]
    with warnings.catch_warnings():
        settle("")
    # Whatever keeps warnings to itself, as every test does, has forgotten by now what was to be ignored.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settle("")
        warnings.warn('Failure attempting to register store for scheme "azureml": no module', stacklevel=1)


def test_a_plugin_that_is_in_use_stays(monkeypatch):
    used = type(sys)("azureml")
    monkeypatch.setitem(sys.modules, "azureml", used)
    settle("sqlite:///x.db")
    assert sys.modules["azureml"] is used
