"""Everything that Dagster knows about this project."""

import dagster as dg

from credit_default import permissions, settings
from credit_default.defs import (
    alerting,
    data,
    deployed_elsewhere,
    deployment,
    failures,
    jobs,
    model,
    monitoring,
    online_deployment,
    online_inputs,
    retraining,
    schedules,
    scoring,
    sensors,
)
from credit_default.resources import resources_for

# Code servers and the processes of runs come by here, whoever starts them; steps are started by runs.
permissions.restrict_umask()

defs = dg.Definitions(
    assets=[
        *data.ASSETS,
        *model.ASSETS,
        *deployment.ASSETS,
        *online_deployment.ASSETS,
        *scoring.ASSETS,
        *monitoring.ASSETS,
        *online_inputs.ASSETS,
    ],
    asset_checks=monitoring.CHECKS,
    jobs=jobs.JOBS,
    schedules=schedules.SCHEDULES,
    sensors=[
        *sensors.SENSORS,
        *deployed_elsewhere.SENSORS,
        *retraining.SENSORS,
        *alerting.SENSORS,
        *failures.SENSORS,
    ],
    resources=resources_for(settings.read()),
    # Steps are processes of their own already; one more for each would only cost time.
    executor=dg.in_process_executor,
)
