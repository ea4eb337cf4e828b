"""KQL over local telemetry, with the rows that Application Insights would return."""
