using '../main.bicep'

param environmentName = 'development'
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param githubRepository = readEnvironmentVariable('GITHUB_REPOSITORY', '')
param githubOwnerId = readEnvironmentVariable('GITHUB_OWNER_ID', '')
param githubRepositoryId = readEnvironmentVariable('GITHUB_REPOSITORY_ID', '')
param studioGroupId = readEnvironmentVariable('STUDIO_GROUP_ID', '')
param studioAccess = 'write'
param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
param registryResourceGroup = readEnvironmentVariable('REGISTRY_RESOURCE_GROUP')
// What is tried out here is nobody else's business.
param registryAccess = 'none'
param mostNodes = 1
param mostSpotNodes = 1
param storageRedundancy = 'Standard_LRS'
param imagesSku = 'Basic'
param dailyLogGigabytes = 1
// Days are scored here only to try things out.
param mutedAlerts = [
  'stale-predictions'
]
