// One environment, in one resource group: development, staging and production differ by parameters/ only.
// The shared registry is not part of it; see registry.bicep, which comes first.

targetScope = 'resourceGroup'

@description('development, staging or production: CREDIT_DEFAULT_ENV, and the name of the GitHub environment.')
@allowed([
  'development'
  'staging'
  'production'
])
param environmentName string

param location string = resourceGroup().location

@description('Who is told of alerts.')
@minLength(3)
param alertEmail string

@description('Repository, as OWNER/NAME, whose workflows may deploy here; none when empty.')
param githubRepository string = ''

@description('Number of its owner, where GitHub puts numbers into the subject of jobs; empty where it does not. See README.md.')
param githubOwnerId string = ''

@description('Number of the repository; given or empty as that of its owner.')
param githubRepositoryId string = ''

@description('Whether to trust subjects without numbers beside those with them: only while a repository moves to the latter.')
param githubTrustsNames bool = false

@description('Object id of a group of Entra whose members open the studio; none when empty.')
param studioGroupId string = ''

@description('What they may do there: read (look), or write (submit jobs and change data, too).')
@allowed([
  'read'
  'write'
])
param studioAccess string = 'read'

@description('Name of the shared Azure ML registry.')
param registryName string

@description('Its resource group, in the same subscription.')
param registryResourceGroup string

@description('What workflows of this environment may do with the registry: none, read (take models) or write (share them, too).')
@allowed([
  'none'
  'read'
  'write'
])
param registryAccess string

@description('Size of the machines of clusters. Their cores count against the quota of its family in this region.')
param nodeSize string = 'Standard_D4s_v3'

@minValue(1)
param mostNodes int = 1

@description('Most low-priority machines, which are tried first; 0 for none.')
@minValue(0)
param mostSpotNodes int = 0

@description('How often each blob is kept, and where.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
param storageRedundancy string = 'Standard_ZRS'

@allowed([
  'Basic'
  'Standard'
  'Premium'
])
param imagesSku string = 'Standard'

@description('Whether the cluster builds images, where a subscription has no ACR Tasks, as free and credit ones have none.')
param buildImagesOnCluster bool = false

@description('Whether the keys of the storage account open it: the way out where something of Azure ML asks for a key.')
param allowSharedKeyAccess bool = false

@description('Who reaches the vault: only trusted services of Azure (disabled), or anybody with a role (enabled).')
@allowed([
  'disabled'
  'enabled'
])
param vaultNetworkAccess string = 'disabled'

@description('Alerts that are silent here.')
@allowed([
  'failed-scoring'
  'feature-drift'
  'low-acceptance'
  'overall-violation'
  'retraining-due'
  'stale-predictions'
  'unjoined-outcomes'
])
param mutedAlerts array = []

@description('Days for which what jobs left behind is kept. Longer than a run may be interrupted and resumed.')
@minValue(7)
param jobDays int = 30

@description('Days for which reports of drift are kept; their figures are kept for ever.')
@minValue(1)
param reportDays int = 90

@description('Days for which replaced tables are kept, as a text; never removes none of them.')
param supersededDays string = 'never'

@description('Days for which deleted and replaced blobs can be brought back.')
@minValue(7)
param softDeleteDays int = 14

@description('Days for which telemetry is kept. Online requests have to be exported within them.')
@minValue(30)
param logDays int = 90

@description('Gigabytes of telemetry a day after which no more is taken in; -1 for no limit.')
param dailyLogGigabytes int = 5

@description('Set it when the environment was removed and is made again: a vault is kept for 90 days, and blocks its name.')
param recoverVault bool = false

var tags = {
  application: 'credit-default'
  environment: environmentName
}
// Names that all of Azure has once.
var unique = uniqueString(resourceGroup().id)
var clusterName = 'cpu-cluster'
var short = '${take(environmentName, 4)}${unique}'

module identities 'modules/identities.bicep' = {
  name: 'identities'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    githubRepository: githubRepository
    githubOwnerId: githubOwnerId
    githubRepositoryId: githubRepositoryId
    githubTrustsNames: githubTrustsNames
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    retentionDays: logDays
    dailyGigabytes: dailyLogGigabytes
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: 'stcd${short}'
    containerName: 'lake'
    location: location
    tags: tags
    redundancy: storageRedundancy
    jobDays: jobDays
    softDeleteDays: softDeleteDays
    allowSharedKeyAccess: allowSharedKeyAccess
    logAnalyticsId: monitoring.outputs.logAnalyticsId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    name: 'kv-${short}'
    location: location
    tags: tags
    logAnalyticsId: monitoring.outputs.logAnalyticsId
    recover: recoverVault
    networkAccess: vaultNetworkAccess
  }
}

module images 'modules/images.bicep' = {
  name: 'images'
  params: {
    name: 'crcd${short}'
    location: location
    tags: tags
    sku: imagesSku
  }
}

module resourceRoles 'modules/resource-roles.bicep' = {
  name: 'resource-roles'
  params: {
    principals: identities.outputs.principals
    storageName: storage.outputs.name
    vaultName: vault.outputs.name
    imagesName: images.outputs.name
    insightsName: monitoring.outputs.insightsName
    onlineIdentityName: identities.outputs.onlineName
    buildImagesOnCluster: buildImagesOnCluster
  }
}

module registryRoles 'modules/registry-roles.bicep' = if (registryAccess != 'none') {
  name: 'registry-roles-${environmentName}'
  scope: resourceGroup(registryResourceGroup)
  params: {
    registryName: registryName
    ciId: identities.outputs.principals.ci
    access: registryAccess
  }
}

module workspace 'modules/workspace.bicep' = {
  name: 'workspace'
  // Azure ML looks at once whether the identity may use what it is given.
  dependsOn: [
    resourceRoles
  ]
  params: {
    name: 'mlw-credit-default-${environmentName}'
    environmentName: environmentName
    location: location
    tags: tags
    identityId: identities.outputs.workspaceId
    principals: identities.outputs.principals
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
    imagesId: images.outputs.id
    insightsId: monitoring.outputs.insightsId
    imageBuildCompute: buildImagesOnCluster ? clusterName : ''
    allowSharedKeyAccess: allowSharedKeyAccess
  }
}

module peopleRoles 'modules/people-roles.bicep' = if (!empty(studioGroupId)) {
  name: 'people-roles'
  params: {
    groupId: studioGroupId
    storageName: storage.outputs.name
    workspaceName: workspace.outputs.name
    access: studioAccess
  }
}

module clusters 'modules/clusters.bicep' = {
  name: 'clusters'
  params: {
    workspaceName: workspace.outputs.name
    name: clusterName
    location: location
    tags: tags
    identityId: identities.outputs.computeId
    nodeSize: nodeSize
    mostNodes: mostNodes
    mostSpotNodes: mostSpotNodes
    idleTime: 'PT2M'
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    email: alertEmail
    muted: mutedAlerts
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    environmentName: environmentName
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
  }
}

@description('The variables that the platform reads: the .env of the orchestrator in this environment.')
output settings object = {
  CREDIT_DEFAULT_ENV: environmentName
  AZURE_CLIENT_ID: identities.outputs.orchestratorClientId
  AZURE_SUBSCRIPTION_ID: subscription().subscriptionId
  AZURE_RESOURCE_GROUP: resourceGroup().name
  AZURE_ML_WORKSPACE: workspace.outputs.name
  AZURE_ML_REGISTRY: registryName
  AZURE_STORAGE_ACCOUNT: storage.outputs.name
  AZURE_STORAGE_CONTAINER: storage.outputs.containerName
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  CREDIT_DEFAULT_COMPUTE: clusters.outputs.name
  CREDIT_DEFAULT_SPOT_COMPUTE: clusters.outputs.spotName
  // By these the platform's own retention goes, and by the first the lifecycle rule of the account, too.
  CREDIT_DEFAULT_KEEP_JOBS_DAYS: string(jobDays)
  CREDIT_DEFAULT_KEEP_REPORTS_DAYS: string(reportDays)
  CREDIT_DEFAULT_KEEP_SUPERSEDED_DAYS: supersededDays
  // A region of Azure has each name of an endpoint once.
  CREDIT_DEFAULT_BATCH_ENDPOINT: 'credit-card-default-be-${take(unique, 8)}'
  CREDIT_DEFAULT_ONLINE_ENDPOINT: 'credit-card-default-oe-${take(unique, 8)}'
  CREDIT_DEFAULT_ONLINE_IDENTITY: identities.outputs.onlineId
}

@description('What differs for workflows: the login of the GitHub environment. The other variables are those above.')
output ci object = {
  AZURE_CLIENT_ID: identities.outputs.ciClientId
  AZURE_TENANT_ID: subscription().tenantId
}
