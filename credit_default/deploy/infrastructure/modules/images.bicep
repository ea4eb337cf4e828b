// Images of jobs and deployments: Azure ML builds them here and pulls them from here.

param name string
param location string
param tags object

@description('Basic, Standard or Premium.')
param sku string

resource images 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  // checkov:skip=CKV_AZURE_139:Reached over its public endpoint, with Entra tokens only: clusters pull from it, and they are in no network of ours.
  // checkov:skip=CKV_AZURE_163:Scanning is not set here but in Defender for Containers, for the whole subscription.
  // checkov:skip=CKV_AZURE_166:Nothing would take images out of quarantine: Azure ML builds them and uses them at once. Their packages are held to hashes.
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
    publicNetworkAccess: 'Enabled'
  }
}

output id string = images.id
output name string = images.name
