// Who of an environment gets which role on the shared registry, and why. Deployed to the registry's resource group.

param registryName string
param principals object

@description('write: shares models and takes them. read: takes them only.')
param access string

var roles = loadJsonContent('../roles.json')

var fetches = [
  {
    identity: 'compute'
    role: 'reader'
    why: 'Clusters score with models of the registry.'
  }
  {
    identity: 'online'
    role: 'reader'
    why: 'Online deployments fetch models of the registry.'
  }
]

var takes = [
  {
    identity: 'orchestrator'
    role: 'reader'
    why: 'Takes models from the registry and deploys them.'
  }
  {
    identity: 'ci'
    role: 'reader'
    why: 'Promotes models of the registry.'
  }
]

var shares = [
  {
    identity: 'orchestrator'
    role: 'azureMlRegistryUser'
    why: 'Shares what it deploys: staging deploys models of the registry, as production will.'
  }
  {
    identity: 'ci'
    role: 'azureMlRegistryUser'
    why: 'Shares the model that was built, and environments.'
  }
]

var given = concat(fetches, access == 'write' ? shares : takes)

resource registry 'Microsoft.MachineLearningServices/registries@2025-06-01' existing = {
  name: registryName
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for one in given: {
  name: guid(registry.id, principals[one.identity], roles[one.role])
  scope: registry
  properties: {
    principalId: principals[one.identity]
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[one.role])
    description: one.why
  }
}]
