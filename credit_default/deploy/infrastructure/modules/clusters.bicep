// Machines for jobs: none while there is nothing to do.

param workspaceName string

@description('Name of the cluster that is always there.')
param name string

param location string
param tags object
param identityId string

@description('Size of the machines.')
param nodeSize string

@description('Most machines of the cluster that is always there to fall back on.')
param mostNodes int

@description('Most low-priority machines, which are cheaper and may be taken away; no such cluster when 0.')
param mostSpotNodes int

@description('How long a machine waits for the next job.')
param idleTime string

var spotName = '${name}-spot'

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

resource cluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-06-01' = {
  parent: workspace
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    description: 'Steps run here, and batch endpoints score here.'
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      remoteLoginPortPublicAccess: 'Disabled'
      vmSize: nodeSize
      vmPriority: 'Dedicated'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: mostNodes
        nodeIdleTimeBeforeScaleDown: idleTime
      }
    }
  }
}

resource spotCluster 'Microsoft.MachineLearningServices/workspaces/computes@2025-06-01' = if (mostSpotNodes > 0) {
  parent: workspace
  name: spotName
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    computeType: 'AmlCompute'
    description: 'Tried first: low-priority machines, which Azure may take away.'
    disableLocalAuth: true
    properties: {
      osType: 'Linux'
      remoteLoginPortPublicAccess: 'Disabled'
      vmSize: nodeSize
      vmPriority: 'LowPriority'
      scaleSettings: {
        minNodeCount: 0
        maxNodeCount: mostSpotNodes
        nodeIdleTimeBeforeScaleDown: idleTime
      }
    }
  }
}

output name string = cluster.name

@description('Empty when there is no such cluster.')
output spotName string = mostSpotNodes > 0 ? spotName : ''
