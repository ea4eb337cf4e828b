// What people need who open the studio. Storage takes no key, so the studio shows them data and logs as themselves: without
// these roles its pages of jobs and data stay empty. A group of Entra, so that who is in it is decided there.

param groupId string
param storageName string
param workspaceName string

@description('read: look at everything. write: submit jobs, upload and change, too.')
param access string

var roles = loadJsonContent('../roles.json')

// As "Disable shared key access for your workspace's storage account" on Microsoft Learn has them.
var onStorage = access == 'write' ? [
  'storageBlobDataContributor'
  'storageFileDataPrivilegedContributor'
] : [
  'storageBlobDataReader'
  'storageFileDataPrivilegedReader'
]
var onWorkspace = access == 'write' ? 'azureMlDataScientist' : 'reader'

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

resource storageRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in onStorage: {
  name: guid(storage.id, groupId, roles[role])
  scope: storage
  properties: {
    principalId: groupId
    principalType: 'Group'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    description: 'The studio reads blobs and the file share of notebooks as the person who opened it.'
  }
}]

resource workspaceRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, groupId, roles[onWorkspace])
  scope: workspace
  properties: {
    principalId: groupId
    principalType: 'Group'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[onWorkspace])
    description: 'People open the workspace in the studio.'
  }
}
