// Where telemetry goes: Application Insights, whose rows are kept in Log Analytics.

param environmentName string
param location string
param tags object

@description('Days for which rows are kept. Sealed online requests are among them until they are exported.')
param retentionDays int

@description('Gigabytes a day after which nothing more is taken in until the next day; -1 for no limit.')
param dailyGigabytes int

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-credit-default-${environmentName}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyGigabytes
    }
    features: {
      disableLocalAuth: true
      // Lets whoever may read Application Insights query its rows, without a role here.
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-credit-default-${environmentName}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    IngestionMode: 'LogAnalytics'
    // The one place with a key. Orchestrator and online deployments send by the connection string; the key in it lets
    // one add rows and read none. To read, an Entra token with a role is needed in any case.
    DisableLocalAuth: false
    // Less would leave days out of charts and alerts.
    SamplingPercentage: 100
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

output logAnalyticsId string = logs.id
output insightsId string = insights.id
output insightsName string = insights.name
output connectionString string = insights.properties.ConnectionString
