"""How it gets there: deploy commands, infrastructure, alerts, hosting of Dagster."""
