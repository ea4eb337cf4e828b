// One account: the lake in a container of its own, and beside it the containers that Azure ML makes for itself.

param name string
param containerName string
param location string
param tags object

@description('How often each blob is kept, and where: Standard_LRS, Standard_ZRS, Standard_GRS or Standard_GZRS.')
param redundancy string

@description('Days after which what a job left behind is removed: CREDIT_DEFAULT_KEEP_JOBS_DAYS.')
param jobDays int

@description('Days for which what was deleted or replaced can be brought back.')
param softDeleteDays int

@description('Whether the keys of the account open it, beside Entra tokens.')
param allowSharedKeyAccess bool

param logAnalyticsId string

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  // checkov:skip=CKV_AZURE_59:Reached over its public endpoint, with Entra tokens only: GitHub's runners, the clusters and the orchestrator share no network.
  // checkov:skip=CKV_AZURE_35:The same; a firewall that lets all of these in would let everybody in.
  // checkov:skip=CKV_AZURE_206:Each environment says by parameter how often a blob is kept. A second region is not the default: it would leave the region that personal data was given to.
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: allowSharedKeyAccess
    defaultToOAuthAuthentication: true
    // With one, listings would name folders among the files.
    isHnsEnabled: false
    minimumTlsVersion: 'TLS1_2'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Allow'
    }
    publicNetworkAccess: 'Enabled'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource lake 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: containerName
  properties: {
    publicAccess: 'None'
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          // A net below the schedule `daily_retention`, which removes the same after the same time, and which may be
          // switched off. It alone removes reports of drift and replaced tables: a rule can tell neither a report from
          // the figures beside it, nor whether predictions that are kept were made of a table.
          // `jobs/` holds outputs and messages of jobs. What counts of them was copied to its place, so this is only
          // personal data that lies about. Files that a killed step left `.unfinished` are among it: steps write
          // nowhere else. `taken/` holds models on their way from the shared registry.
          name: 'what-jobs-left-behind'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
                'appendBlob'
              ]
              prefixMatch: [
                '${containerName}/jobs/'
                '${containerName}/taken/'
              ]
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: jobDays
                }
              }
            }
          }
        }
      ]
    }
  }
}

// Who changed or removed what. Reads are not written down: there are many, and they change nothing.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'changes'
  scope: blobs
  properties: {
    workspaceId: logAnalyticsId
    logs: [
      {
        category: 'StorageWrite'
        enabled: true
      }
      {
        category: 'StorageDelete'
        enabled: true
      }
    ]
  }
}

output id string = account.id
output name string = account.name
output containerName string = lake.name
