"""Environment variables that a program on compute is given: by the orchestrator, or by Azure ML itself."""

from __future__ import annotations

#: Name of the job that a step is.
JOB_VARIABLE = "CREDIT_DEFAULT_JOB"
#: Tells apart the jobs of a sweep, which share everything else.
TRIAL_VARIABLE = "CREDIT_DEFAULT_TRIAL"

#: The registered version that a deployment is of.
MODEL_NAME_VARIABLE = "CREDIT_DEFAULT_MODEL_NAME"
MODEL_VERSION_VARIABLE = "CREDIT_DEFAULT_MODEL_VERSION"
#: What the registry says about its file and about its manifest.
MODEL_SHA256_VARIABLE = "CREDIT_DEFAULT_MODEL_SHA256"
MANIFEST_SHA256_VARIABLE = "CREDIT_DEFAULT_MANIFEST_SHA256"

#: Where Azure ML puts the registered model of a deployment.
MODEL_DIR_VARIABLE = "AZUREML_MODEL_DIR"
#: Where Azure ML collects what a batch deployment writes.
BATCH_OUTPUT_VARIABLE = "AZUREML_BI_OUTPUT_PATH"
