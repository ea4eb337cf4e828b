// Who acts, each as itself. None of them has a secret; what they may do is in the modules about roles.

param environmentName string
param location string
param tags object

@description('Repository, as OWNER/NAME, whose workflows may act as the CI identity; none when empty.')
param githubRepository string

// What Azure ML itself does for the workspace: building images, keeping its own containers.
resource workspace 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-credit-default-${environmentName}-workspace'
  location: location
  tags: tags
}

// The steps, as jobs on the clusters.
resource compute 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-credit-default-${environmentName}-compute'
  location: location
  tags: tags
}

// Dagster's daemon and runs; attach it to the machine that they are on.
resource orchestrator 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-credit-default-${environmentName}-orchestrator'
  location: location
  tags: tags
}

// Workflows, as far as they run in the GitHub environment of this name.
resource ci 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-credit-default-${environmentName}-ci'
  location: location
  tags: tags
}

// GitHub signs for each job where it runs; Entra takes that in the place of a password.
resource github 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = if (!empty(githubRepository)) {
  parent: ci
  name: 'github-${environmentName}'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:${githubRepository}:environment:${environmentName}'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

output workspaceId string = workspace.id
output computeId string = compute.id
output orchestratorClientId string = orchestrator.properties.clientId
output ciClientId string = ci.properties.clientId

@description('Object ids, for roles.')
output principals object = {
  workspace: workspace.properties.principalId
  compute: compute.properties.principalId
  orchestrator: orchestrator.properties.principalId
  ci: ci.properties.principalId
}
