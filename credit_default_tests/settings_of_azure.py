"""Settings of an Azure environment that exists nowhere: well-formed, for whatever does not connect."""

AZURE_SETTINGS = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-00000000000a",
    "AZURE_RESOURCE_GROUP": "rg-credit.default_(dev)",
    "AZURE_ML_WORKSPACE": "ws-credit-default-dev",
    "AZURE_ML_REGISTRY": "credit-default-models",
    "AZURE_STORAGE_ACCOUNT": "stcreditdefault",
    "AZURE_STORAGE_CONTAINER": "lake",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        "InstrumentationKey=00000000-0000-0000-0000-00000000000c;IngestionEndpoint=https://nowhere.example/"
    ),
    "CREDIT_DEFAULT_COMPUTE": "cpu-cluster",
}
