"""Endpoints of Azure ML: deployments side by side, and requests to them."""
