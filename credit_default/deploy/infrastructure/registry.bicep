// The Azure ML registry that the environments share models through. Deployed once, into a resource group of its own.
// Who may use it is given by each environment: modules/registry-roles.bicep.

targetScope = 'resourceGroup'

@description('Name of the registry: AZURE_ML_REGISTRY. A tenant has each name once, and it cannot be changed.')
@minLength(2)
@maxLength(32)
param registryName string

param location string = resourceGroup().location

@description('How often each blob of the registry is kept, and where.')
param storageRedundancy string = 'Standard_LRS'

resource registry 'Microsoft.MachineLearningServices/registries@2025-06-01' = {
  name: registryName
  location: location
  tags: {
    application: 'credit-default'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publicNetworkAccess: 'Enabled'
    regionDetails: [
      {
        location: location
        // Both are made and managed by Azure ML, in a resource group of its own; nobody has a key to them.
        acrDetails: [
          {
            systemCreatedAcrAccount: {
              // Azure ML takes no other here.
              acrAccountSku: 'Premium'
            }
          }
        ]
        storageAccountDetails: [
          {
            systemCreatedStorageAccount: {
              storageAccountType: storageRedundancy
              storageAccountHnsEnabled: false
              allowBlobPublicAccess: false
            }
          }
        ]
      }
    ]
  }
}

@description('What each environment is told by its parameters.')
output environmentParameters object = {
  registryName: registry.name
  registryResourceGroup: resourceGroup().name
}
