"""The same five names on Azure Machine Learning and Blob Storage."""
