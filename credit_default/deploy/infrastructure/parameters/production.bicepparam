using '../main.bicep'

param environmentName = 'production'
param alertEmail = readEnvironmentVariable('ALERT_EMAIL')
param githubRepository = readEnvironmentVariable('GITHUB_REPOSITORY', '')
param githubOwnerId = readEnvironmentVariable('GITHUB_OWNER_ID', '')
param githubRepositoryId = readEnvironmentVariable('GITHUB_REPOSITORY_ID', '')
param studioGroupId = readEnvironmentVariable('STUDIO_GROUP_ID', '')
param studioAccess = 'read'
param registryName = readEnvironmentVariable('AZURE_ML_REGISTRY')
param registryResourceGroup = readEnvironmentVariable('REGISTRY_RESOURCE_GROUP')
// Takes what staging has shared, and cannot put anything in its place.
param registryAccess = 'read'
param mostNodes = 2
param mostSpotNodes = 0
param storageRedundancy = 'Standard_ZRS'
param imagesSku = 'Standard'
param dailyLogGigabytes = 5
