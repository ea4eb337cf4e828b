// A page in Azure Monitor that draws what the queries return. Made of the queries' own files: there is no second copy.

param environmentName string
param location string
param tags object
param insightsId string

// How a part of the page shows its query: a line for each figure, a bar for each, or a table.
var charts = [
  {
    name: 'drift-over-time'
    title: 'Drift of each day: share of drifted features, PSI of the score, violation (1 is yes)'
    visualization: 'linechart'
    query: loadTextContent('../../queries/drift_over_time.kql')
  }
  {
    name: 'feature-drift'
    title: 'Features in violation'
    visualization: 'table'
    query: loadTextContent('../../queries/feature_drift.kql')
  }
  {
    name: 'scoring-over-time'
    title: 'Rows of each day that were scored and refused'
    visualization: 'barchart'
    query: loadTextContent('../../queries/scoring_over_time.kql')
  }
  {
    name: 'performance-over-time'
    title: 'How well the predictions of each day did, once outcomes are known'
    visualization: 'linechart'
    query: loadTextContent('../../queries/performance_over_time.kql')
  }
  {
    name: 'failed-scoring'
    title: 'Runs of score_batch that failed'
    visualization: 'table'
    query: loadTextContent('../../queries/failed_scoring.kql')
  }
]

var heading = [
  {
    type: 1
    name: 'heading'
    content: {
      json: '# Credit default: ${environmentName}\nBy the day that was scored, not by when that was. A day that was measured again shows its newest figures.'
    }
  }
  {
    type: 9
    name: 'time-range'
    content: {
      version: 'KqlParameterItem/1.0'
      style: 'pills'
      queryType: 0
      resourceType: 'microsoft.insights/components'
      parameters: [
        {
          version: 'KqlParameterItem/1.0'
          id: guid('credit-default-time-range')
          name: 'TimeRange'
          label: 'Emitted within'
          type: 4
          isRequired: true
          value: {
            durationMs: 2592000000
          }
          typeSettings: {
            selectableValues: [
              {
                durationMs: 604800000
              }
              {
                durationMs: 2592000000
              }
              {
                durationMs: 7776000000
              }
            ]
          }
        }
      ]
    }
  }
]

var drawn = [for chart in charts: {
  type: 3
  name: chart.name
  content: {
    version: 'KqlItem/1.0'
    query: chart.query
    size: 0
    title: chart.title
    timeContextFromParameter: 'TimeRange'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    visualization: chart.visualization
  }
}]

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  // A workbook is named by a GUID.
  name: guid(resourceGroup().id, 'credit-default-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Credit default: drift and scoring (${environmentName})'
    category: 'workbook'
    sourceId: insightsId
    version: 'Notebook/1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(heading, drawn)
      fallbackResourceIds: [
        insightsId
      ]
    })
  }
}
