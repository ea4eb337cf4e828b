"""The second half of `make demo`: the shift is learnt from, and what was learnt is taken back and put forward again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import dagster as dg

from credit_default.core import lake
from credit_default.defs.assets.deployment import WHY
from credit_default.defs.automation import event_log
from credit_default.defs.automation.retraining import drift_sensor
from credit_default.demo.chapters import Chapter, with_trials
from credit_default.demo.stage import Stage
from credit_default.resources import ledger as ledgers
from credit_default.runs import promotion
from credit_default.terminal import tables
from credit_default.terminal.promotions import show_history

_BACK = "the demo shows how to go back"
_FORTH = "the demo goes forward again"


class ClosingTheLoop:
    """Outcomes arrive, the sensor asks, the challenger is judged, the next days are calm."""

    def __init__(self, stage: Stage, instance: dg.DagsterInstance, trials: int) -> None:
        self._stage = stage
        self._instance = instance
        self._trials = trials
        self._say = stage.console.print
        self._cursor: str | None = None

    def play(self, outcomes: Mapping[str, bytes], afterwards: Mapping[str, bytes]) -> None:
        """Play what has not been played yet.

        Parameters
        ----------
        outcomes, afterwards
            Files that arrive, key to content: the outcomes of the days since the shift, and the last days.
        """
        retrained = event_log.last_asked(self._instance) is not None
        if not retrained:
            self._say(f"[bold]drift_sensor[/]: {self._look().skip_message}")
        if self._stage.arrive(outcomes):
            self._say("The outcomes of these days arrive.")
        self._stage.work_off(self._instance)
        if not retrained:
            self._retrain()
        if self._stage.arrive(afterwards):
            self._say("The next days arrive, in NT$ like those before them.")
        self._stage.work_off(self._instance)
        self._back_and_forth()

    def _look(self) -> dg.SensorExecutionData:
        """Evaluate the sensor, as the daemon does, on all that was measured since the first version went live."""
        from credit_default.definitions import defs

        deployed = event_log.records(self._instance, "batch_deployment", after=0)
        start = json.dumps({"storage_id": deployed[0].storage_id, "waits_for_labels": True})
        logging.disable(logging.INFO)  # its log would go between our lines, which say the same
        try:
            # Telemetry on Azure is a resource that has to be closed.
            with dg.build_sensor_context(
                instance=self._instance,
                cursor=self._cursor or start,
                repository_def=defs.get_repository_def(),
                sensor_name=drift_sensor.name,
                resources={"telemetry": self._stage.ports["telemetry"]},
            ) as context:
                found = drift_sensor.evaluate_tick(context)
        finally:
            logging.disable(logging.NOTSET)
        self._cursor = found.cursor
        return found

    def _retrain(self) -> None:
        found = self._look()
        if not found.run_requests:
            self._say(f"[bold]drift_sensor[/] asks for nothing: {found.skip_message}")
            return
        (request,) = found.run_requests
        self._say(f"It asks for a retraining. {request.tags[WHY]}")
        tags = [f"--tag={name}={value}" for name, value in request.tags.items()]
        more = ("--config", with_trials(self._trials), *tags)
        self._stage.run(self._instance, Chapter("Retraining, judging, deploying", event_log.RETRAIN, 6, more))
        newest = self._stage.ports["registry"].versions()[0].version
        verdict = json.loads(self._stage.ports["storage"].read(lake.verdict(newest)))
        self._say(tables.verdict_table(verdict, newest))

    def _back_and_forth(self) -> None:
        """Go back to the version before, and forward again: no training, some seconds."""
        storage = self._stage.ports["storage"]
        state = self._stage.ports["endpoint"].state()
        went_back = any(entry.reason == _BACK for entry in ledgers.read(storage).entries)
        if state.previous is not None and not went_back:
            back = promotion.roll_back(self._stage.settings, None, _BACK)
            self._say(f"Rolled back: version {back.live_version} is live. Forward again.")
            config = {"ops": {"batch_deployment": {"config": {"version": state.default, "reason": _FORTH}}}}
            forth = Chapter("Deploying the newer version again", "deploy_model", 1, ("--config", json.dumps(config)))
            self._stage.run(self._instance, forth)
        show_history(ledgers.read(storage), as_json=False)
