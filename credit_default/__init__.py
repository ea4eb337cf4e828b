"""A Dagster platform for a credit-card default model, on a laptop or on Azure Machine Learning."""

__version__ = "0.1.0"
