using '../main.bicep'

param environmentName = 'development'
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param githubRepository = readEnvironmentVariable('GITHUB_REPOSITORY', '')
param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
param registryResourceGroup = readEnvironmentVariable('REGISTRY_RESOURCE_GROUP')
// What is tried out here is nobody else's business.
param registryAccess = 'none'
param mostNodes = 2
param mostSpotNodes = 2
param storageRedundancy = 'Standard_LRS'
param imagesSku = 'Basic'
param dailyLogGigabytes = 1
