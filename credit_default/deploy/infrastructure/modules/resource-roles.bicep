// Who gets which role on what the workspace uses, and why. Each list is of one resource, and nothing is given above it.

param principals object
param storageName string
param vaultName string
param imagesName string
param insightsName string
param onlineIdentityName string

@description('Whether clusters build the images of environments, too.')
param buildImagesOnCluster bool

var roles = loadJsonContent('../roles.json')

var onStorage = [
  {
    identity: 'workspace'
    role: 'contributor'
    why: 'Azure ML sets up its own containers; its documentation asks for this role.'
  }
  {
    identity: 'workspace'
    role: 'storageBlobDataContributor'
    why: 'Azure ML reads and writes its own containers without a key.'
  }
  {
    identity: 'workspace'
    role: 'storageFileDataPrivilegedContributor'
    why: 'The same for the file share of notebooks.'
  }
  {
    identity: 'compute'
    role: 'storageBlobDataContributor'
    why: 'Steps read the lake, and write outputs and messages below jobs/.'
  }
  {
    identity: 'compute'
    role: 'storageQueueDataContributor'
    why: 'Batch endpoints hand out mini-batches by queues of the account.'
  }
  {
    identity: 'compute'
    role: 'storageTableDataContributor'
    why: 'Batch endpoints keep the state of mini-batches in tables of the account.'
  }
  {
    identity: 'orchestrator'
    role: 'storageBlobDataContributor'
    why: 'Publishes tables and models in the lake, keeps logs of steps there and signs the addresses by which they are read.'
  }
  {
    identity: 'ci'
    role: 'storageBlobDataContributor'
    why: 'Launches the training, which publishes to the lake, uploads data assets and reads back what was scored.'
  }
  {
    identity: 'online'
    role: 'storageBlobDataReader'
    why: 'Online deployments fetch their model from the lake and their code from the default datastore.'
  }
]

var onVault = [
  {
    identity: 'workspace'
    role: 'contributor'
    why: 'Azure ML manages the vault of the workspace; its documentation asks for this role.'
  }
  {
    identity: 'workspace'
    role: 'keyVaultAdministrator'
    why: 'Azure ML keeps what its connections hold there.'
  }
]

var builds = [
  {
    identity: 'compute'
    role: 'acrPush'
    why: 'Clusters build the images of environments in the place of ACR Tasks, and push them.'
  }
]

var uses = [
  {
    identity: 'workspace'
    role: 'contributor'
    why: 'Azure ML builds images of environments and pushes them; its documentation asks for this role.'
  }
  {
    identity: 'compute'
    role: 'acrPull'
    why: 'Clusters pull the images that jobs run in.'
  }
  {
    identity: 'online'
    role: 'acrPull'
    why: 'Online deployments pull the image that they run in.'
  }
]

var onImages = concat(uses, buildImagesOnCluster ? builds : [])

var onOnlineIdentity = [
  {
    identity: 'orchestrator'
    role: 'managedIdentityOperator'
    why: 'Makes the online endpoint, which acts as this identity: Azure asks for the right to hand it on.'
  }
  {
    identity: 'ci'
    role: 'managedIdentityOperator'
    why: 'The same, for a workflow that makes the endpoint.'
  }
]

var onInsights = [
  {
    identity: 'workspace'
    role: 'contributor'
    why: 'Azure ML ties Application Insights to the workspace; its documentation asks for this role.'
  }
  {
    identity: 'orchestrator'
    role: 'monitoringReader'
    why: 'Queries telemetry: exports online requests, and asks whether an alert would fire.'
  }
]

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: vaultName
}

resource images 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: imagesName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource online 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: onlineIdentityName
}

resource storageRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onStorage: {
  name: guid(storage.id, principals[one.identity], roles[one.role])
  scope: storage
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]

resource vaultRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onVault: {
  name: guid(vault.id, principals[one.identity], roles[one.role])
  scope: vault
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]

resource imagesRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onImages: {
  name: guid(images.id, principals[one.identity], roles[one.role])
  scope: images
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]

resource insightsRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onInsights: {
  name: guid(insights.id, principals[one.identity], roles[one.role])
  scope: insights
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]

resource onlineIdentityRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in onOnlineIdentity: {
  name: guid(online.id, principals[one.identity], roles[one.role])
  scope: online
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]
