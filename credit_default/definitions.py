"""Everything that Dagster knows about this project."""

import dagster as dg

from credit_default import settings
from credit_default.core import patient_sqlite
from credit_default.defs.assets import data, deployment, model, monitoring, online_deployment, online_inputs, scoring
from credit_default.defs.automation import (
    alerting,
    external_deployments,
    failures,
    jobs,
    retention,
    retraining,
    schedules,
    sensors,
)
from credit_default.defs.shared.executor import in_process_executor
from credit_default.resources import resources_for
from credit_default.settings import permissions

# Code servers and the processes of runs come by here, however they are started; steps are started by runs. Web server
# and daemon come by the run launcher.
permissions.restrict_umask()
patient_sqlite.install()

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
    schedules=[*schedules.SCHEDULES, *retention.SCHEDULES],
    sensors=[
        *sensors.SENSORS,
        *external_deployments.SENSORS,
        *retraining.SENSORS,
        *alerting.SENSORS,
        *failures.SENSORS,
    ],
    resources=resources_for(settings.read()),
    executor=in_process_executor,
)
