"""Assets of an Azure ML workspace: models and aliases, data assets, the datastore."""
