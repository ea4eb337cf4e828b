// Who acts, each as itself. None of them has a secret; what they may do is in the modules about roles.

param environmentName string
param location string
param tags object

@description('Repository, as OWNER/NAME, whose workflows may act as the CI identity; none when empty.')
param githubRepository string

@description('Numbers of its owner and of itself, where GitHub names both by them; both empty where it does not.')
param githubOwnerId string
param githubRepositoryId string

@description('Whether to trust the form without numbers beside the one with them, while a repository moves to it.')
param githubTrustsNames bool

// One number without the other makes a subject that no job has: then nobody is trusted, and the refused job says what to give.
var trusted = !empty(githubRepository) && empty(githubOwnerId) == empty(githubRepositoryId)
var numbered = !empty(githubOwnerId)
var owner = split(githubRepository, '/')[0]
var repository = last(split(githubRepository, '/'))
var byNames = 'repo:${githubRepository}:environment:${environmentName}'
var byNumbers = 'repo:${owner}@${githubOwnerId}/${repository}@${githubRepositoryId}:environment:${environmentName}'

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

// The containers of online deployments, which fetch their image and their model as it. An identity that Azure made for the
// endpoint could read the default datastore and nothing else.
resource online 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-credit-default-${environmentName}-online'
  location: location
  tags: tags
}

// GitHub signs for each job where it runs; Entra takes that in the place of a password. The subject has to be the job's to
// the letter, and GitHub has two forms of it: repositories made, renamed or transferred since the summer of 2026 have numbers in it,
// by which nobody who takes over a name is trusted; older ones have names only, until they are switched over.
resource github 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = if (trusted) {
  parent: ci
  name: 'github-${environmentName}'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: numbered ? byNumbers : byNames
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource githubNames 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = if (trusted && numbered && githubTrustsNames) {
  parent: ci
  name: 'github-names-${environmentName}'
  // Azure takes one credential of an identity at a time.
  dependsOn: [
    github
  ]
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: byNames
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

output workspaceId string = workspace.id
output computeId string = compute.id
output onlineId string = online.id
output onlineName string = online.name
output orchestratorClientId string = orchestrator.properties.clientId
output ciClientId string = ci.properties.clientId

@description('Object ids, for roles.')
output principals object = {
  workspace: workspace.properties.principalId
  compute: compute.properties.principalId
  orchestrator: orchestrator.properties.principalId
  ci: ci.properties.principalId
  online: online.properties.principalId
}
