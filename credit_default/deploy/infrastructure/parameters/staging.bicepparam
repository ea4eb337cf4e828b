using '../main.bicep'

param environmentName = 'staging'
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param githubRepository = readEnvironmentVariable('GITHUB_REPOSITORY', '')
param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
param registryResourceGroup = readEnvironmentVariable('REGISTRY_RESOURCE_GROUP')
// Models are built here, and shared from here.
param registryAccess = 'write'
param mostNodes = 4
param mostSpotNodes = 4
param storageRedundancy = 'Standard_LRS'
param imagesSku = 'Basic'
param dailyLogGigabytes = 1
