// Alerts: each asks one of the queries every hour, and tells of each row that it has not told of yet.

param environmentName string
param location string
param tags object
param insightsId string

@description('Who is told.')
param email string

@description('Names of the rules that are made and stay silent here.')
param muted array

// `per` is the column by which alerts are told apart: for each value of it one is raised, and is over when the query no
// longer returns it. Rows are looked for in `window`.
var rules = [
  {
    name: 'overall-violation'
    title: 'A scored day is in violation'
    description: 'The clients of a day differ from those that the model learned from, by more than chance explains. One such day is no reason to retrain; drift_sensor asks for it when it persists.'
    severity: 2
    per: 'day'
    window: 'P1D'
    query: loadTextContent('../../queries/overall_violation.kql')
  }
  {
    name: 'feature-drift'
    title: 'Features of a scored day are in violation'
    description: 'The query names the features. Look first whether a system upstream changed its units or codes.'
    severity: 3
    per: 'day'
    window: 'P1D'
    query: loadTextContent('../../queries/feature_drift.kql')
  }
  {
    name: 'failed-scoring'
    title: 'A run of score_batch failed'
    description: 'Days were not taken in, scored or measured. The page of the run in Dagster names each and says what to do.'
    severity: 1
    per: 'run_id'
    window: 'P1D'
    query: loadTextContent('../../queries/failed_scoring.kql')
  }
  {
    name: 'low-acceptance'
    title: 'Rows of a landed day were refused'
    description: 'Less than the least share of its rows keeps the contract (warning), or none does (error). The day was made of the others. Which rules they break is shown with the day in Dagster; the rows are in quarantine.'
    severity: 2
    per: 'day'
    window: 'P1D'
    query: loadTextContent('../../queries/low_acceptance.kql')
  }
  {
    name: 'unjoined-outcomes'
    title: 'The outcomes of a day do not join its predictions'
    description: 'Hardly any outcome has a prediction, so the day is not measured and teaches nothing. Look whether outcomes and scored files name clients by the same ids, and whether the outcomes are in the folder of the day that was scored.'
    severity: 2
    per: 'day'
    window: 'P1D'
    query: loadTextContent('../../queries/unjoined_outcomes.kql')
  }
  {
    name: 'stale-predictions'
    title: 'Yesterday has no predictions'
    description: 'Look whether its files have landed and whether the sensors run. Raised from 12:00 UTC on, and again each day.'
    severity: 1
    per: 'due_day'
    // What is not in it counts as never scored: the longest that Azure allows.
    window: 'P2D'
    query: loadTextContent('../../queries/stale_predictions.kql')
  }
  {
    name: 'retraining-due'
    title: 'A retraining is due'
    description: 'A sensor of production would have asked for one: the query says which and why. Run the workflow Deploy model, which trains in staging. Other environments retrain by themselves.'
    severity: 2
    per: 'request'
    window: 'P1D'
    query: loadTextContent('../../queries/retraining_due.kql')
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-credit-default-${environmentName}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'credit-def'
    emailReceivers: [
      {
        name: 'whoever-is-on-duty'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: 'credit-default-${environmentName}-${rule.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${rule.title} (${environmentName})'
    description: rule.description
    enabled: !contains(muted, rule.name)
    severity: rule.severity
    scopes: [
      insightsId
    ]
    evaluationFrequency: 'PT1H'
    windowSize: rule.window
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: rule.per
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        people.id
      ]
    }
  }
}]
