// Azure ML wants a vault for what its connections hold. The platform puts nothing there and reads nothing from it.

param name string
param location string
param tags object
param logAnalyticsId string

@description('Whether to bring back the vault of this name that was removed within the last 90 days.')
param recover bool

@description('disabled: nobody but trusted services of Azure, which Azure ML is one of. enabled: anybody with a role, from anywhere.')
param networkAccess string

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  // checkov:skip=CKV_AZURE_189:Closed, unless the parameter vaultNetworkAccess says otherwise: whether Azure ML reaches a closed vault was never seen.
  // checkov:skip=CKV_AZURE_109:The same; opened, the vault takes Entra tokens of those with a role and nothing else.
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    createMode: recover ? 'recover' : 'default'
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: networkAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: networkAccess == 'enabled' ? 'Allow' : 'Deny'
    }
  }
}

// Who asked for what.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: logAnalyticsId
    logs: [
      {
        category: 'AuditEvent'
        enabled: true
      }
    ]
  }
}

output id string = vault.id
output name string = vault.name
