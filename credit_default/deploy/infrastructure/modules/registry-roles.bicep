// What an environment's workflows may do with the shared registry. Deployed to the registry's resource group.
// Nobody else of an environment uses it: jobs, deployments and Dagster use the workspace's own copy of a model.

param registryName string

@description('Object id of the identity that workflows act as.')
param ciId string

@description('write: shares models and environments, and takes models. read: takes models only.')
param access string

var roles = loadJsonContent('../roles.json')
var role = access == 'write' ? 'azureMlRegistryUser' : 'reader'

resource registry 'Microsoft.MachineLearningServices/registries@2025-06-01' existing = {
  name: registryName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, ciId, roles[role])
  scope: registry
  properties: {
    principalId: ciId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    description: access == 'write' ? 'Shares the model that was built, and environments.' : 'Promotes models of the registry.'
  }
}
