using '../main.bicep'

param environmentName = 'staging'
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param githubRepository = readEnvironmentVariable('GITHUB_REPOSITORY', '')
param githubOwnerId = readEnvironmentVariable('GITHUB_OWNER_ID', '')
param githubRepositoryId = readEnvironmentVariable('GITHUB_REPOSITORY_ID', '')
param studioGroupId = readEnvironmentVariable('STUDIO_GROUP_ID', '')
param studioAccess = 'write'
param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
param registryResourceGroup = readEnvironmentVariable('REGISTRY_RESOURCE_GROUP')
// Models are built here, and shared from here.
param registryAccess = 'write'
param mostNodes = 2
param mostSpotNodes = 2
param storageRedundancy = 'Standard_LRS'
param imagesSku = 'Basic'
param dailyLogGigabytes = 1
// Days are scored here only to try things out.
param mutedAlerts = [
  'stale-predictions'
]
