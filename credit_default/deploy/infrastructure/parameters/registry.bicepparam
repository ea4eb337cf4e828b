using '../registry.bicep'

param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
