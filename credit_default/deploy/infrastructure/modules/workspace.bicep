// The Azure ML workspace, and who may do what in it. Comes after the roles of its identity on all that it uses.

param name string
param environmentName string
param location string
param tags object
param identityId string
param principals object
param storageId string
param vaultId string
param imagesId string
param insightsId string

@description('Cluster that builds the images of environments; ACR Tasks do when empty.')
param imageBuildCompute string

@description('Whether the keys of the storage account open it.')
param allowSharedKeyAccess bool

var roles = loadJsonContent('../roles.json')

// Who gets which role on the workspace, and why.
var given = [
  {
    identity: 'workspace'
    role: 'contributor'
    why: 'Azure ML acts for the workspace; its documentation asks for this role.'
  }
  {
    identity: 'orchestrator'
    role: 'azureMlDataScientist'
    why: 'Submits jobs, registers models and data, makes endpoints and deployments; changes neither clusters nor the workspace.'
  }
  {
    identity: 'ci'
    role: 'azureMlDataScientist'
    why: 'Deploys environments, data assets, endpoints and deployments, and launches the training that it waits for.'
  }
]

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' = {
  // checkov:skip=CKV_AZURE_243:Reached over its public endpoint, with Entra tokens only: GitHub's runners and the orchestrator are in no network of ours.
  name: name
  location: location
  tags: tags
  kind: 'Default'
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    friendlyName: 'Credit default, ${environmentName}'
    primaryUserAssignedIdentity: identityId
    storageAccount: storageId
    keyVault: vaultId
    containerRegistry: imagesId
    applicationInsights: insightsId
    imageBuildCompute: empty(imageBuildCompute) ? null : imageBuildCompute
    // By identity: no key of the account in any datastore, and who reads or writes does it as themselves.
    systemDatastoresAuthMode: allowSharedKeyAccess ? 'AccessKey' : 'Identity'
    publicNetworkAccess: 'Enabled'
    v1LegacyMode: false
  }
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in given: {
  name: guid(workspace.id, principals[one.identity], roles[one.role])
  scope: workspace
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]

output name string = workspace.name
