"""The walk from a prediction to its source, a step at a time; each step goes on with what the one before it found."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pyarrow as pa

from credit_default.core import lake
from credit_default.core.lineage import model, promotion, runs
from credit_default.core.lineage import prediction as lineage
from credit_default.core.lineage.evidence import Finding, Recorded
from credit_default.core.lineage.model import MODEL, TRAINING
from credit_default.core.lineage.prediction import INPUT, LANDED, PREDICTION
from credit_default.core.model.model_folder import MANIFEST_TAG, Expectation
from credit_default.core.plurals import plural
from credit_default.core.printable import printable
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, SOURCE_FILE, SOURCE_ROW
from credit_default.defs.landing import ingestion as taken_in
from credit_default.errors import NoSuchPrediction
from credit_default.ports import ModelRegistry, ModelVersion, Storage
from credit_default.resources import ledger, retention
from credit_default.tracing.history import History
from credit_default.tracing.locating import Located, inputs_of, prefix_of, read

_ROW_COUNT = "dagster/row_count"


class Walk:
    """One walk.

    Attributes
    ----------
    about
        Where things are: ids, hashes, versions and keys.
    values
        The values of the row that was scored; None when it is not there.
    """

    def __init__(
        self,
        storage: Storage,
        registry: ModelRegistry,
        history: History,
        located: Located,
        *,
        row: int,
        prediction_id: str,
    ) -> None:
        self._storage = storage
        self._versions = registry.versions()
        self._history = history
        self._located = located
        self._row = row
        self._id = prediction_id
        self._scored = [recorded for _, recorded in history.of("batch_predictions", located.day)]
        self._log_is_empty = not self._scored and history.is_empty("batch_predictions")
        same = list(located.same_in)
        self.about: dict[str, Any] = {"day": located.day, "predictions": located.key, "same_in": same, "row": row}
        self.values: Mapping[str, Any] | None = None

    def findings(self) -> Iterator[Finding]:
        """Walk.

        Raises
        ------
        NoSuchPrediction
            The file has fewer rows, and always had.
        """
        if self._located.key is None:
            yield self._no_file()
            return
        predictions, told_version = read(self._storage, self._located.key)
        if predictions is None:
            yield PREDICTION.altered("file", f"{self._located.key} cannot be read")
            return
        unusable = lineage.of_columns(predictions)
        if unusable is not None:
            yield unusable
            return
        if self._row > predictions.num_rows:
            yield self._no_such_row(predictions)
            return
        again = len(self._located.same_in)
        yield PREDICTION.ok("file", self._located.key + (f", and {again} that it replaced" if again else ""))
        shared = lineage.shared_values(predictions)
        self.about |= {name: str(value) for name, value in shared.items() if name != "as_of"}
        yield from lineage.of_prediction(
            predictions, told_version, prediction_id=self._id, row=self._row, day=self._located.day
        )
        if self._log_is_empty and self._history.knows(shared["run_id"]):
            self._log_is_empty = False
            yield runs.of_index(shared["run_id"])
        version = lineage.version_of(predictions)
        attempts = self._attempts(shared["run_id"])
        yield lineage.of_prediction_record(
            shared, version, self._scored, attempts=attempts, log_is_empty=self._log_is_empty
        )
        prediction = predictions.slice(self._row - 1, 1).to_pylist()[0]
        inputs = yield from self._inputs(shared["input_data_version"], prediction[CLIENT_ID])
        trained = yield from self._model(shared, prediction, inputs)
        since = self._history.began(shared["run_id"]) or shared["scored_at"]
        recorded = next((one for one in self._scored if one.run_id in attempts and one.data_version == version), None)
        yield runs.of_scoring_run(
            self._history.run(shared["run_id"]),
            shared["run_id"],
            since=since,
            scored_at=shared["scored_at"],
            recorded=recorded,
            log_is_empty=self._log_is_empty,
        )
        if recorded is not None:
            made = self._history.recorded_by(recorded.run_id, "batch_predictions", self._located.day)
            yield runs.of_events("scoring log", recorded, made)
        yield runs.of_training_run(self._history.run(trained.run_id) if trained else None, trained)
        if trained is not None:
            made = self._history.recorded_by(trained.run_id, "trained_model")
            yield runs.of_events("training log", trained, made)
        yield from self._promotion(shared["model_version"], since, shared["scored_at"])

    def _no_file(self) -> Finding:
        removal = retention.removed_predictions(self._storage, self._id.partition("-")[0])
        if removal is not None:
            return PREDICTION.unchecked("file", str(removal))
        return PREDICTION.missing("file", f"{self._located.day} was recorded as scored, and no file holds the id")

    def _no_such_row(self, predictions: pa.Table) -> Finding:
        told = (
            f"{self._located.day} has {plural(predictions.num_rows, 'prediction')} of this id, and none with number "
            f"{self._row}"
        )
        prefix, _, _ = self._id.partition("-")
        same = [one for one in self._scored if prefix_of(self._located.day, one) == prefix]
        if not any(one.metadata.get(_ROW_COUNT, 0) >= self._row for one in same):
            raise NoSuchPrediction(told)
        return PREDICTION.altered("id", f"{told}; more were recorded")

    def _attempts(self, run_id: str) -> set[str]:
        """Return the runs that recorded predictions of the day and are attempts of the same run as this one."""
        root = self._history.root_of(run_id)
        return {one.run_id for one in self._scored if self._history.root_of(one.run_id) == root}

    def _inputs(self, version: str, client_id: str) -> Generator[Finding, None, pa.Table | None]:
        """Look at the row that was scored and at the file it came in; returns the row as a table, or None."""
        day = self._located.day
        recorded = [one for _, one in self._history.of("inference_data", day)]
        found = inputs_of(self._storage, day, version, recorded)
        if found is None:
            removal = retention.removed_inputs(self._storage, day, version)
            if removal is not None:
                yield INPUT.unchecked("content", str(removal))
            else:
                yield INPUT.missing("content", f"no table of {day} with data version {version} is kept")
            return None
        key, inputs = found
        self.about["inference_data"] = key
        if inputs is None:
            yield INPUT.altered("content", f"{key} cannot be read")
            return None
        yield INPUT.ok("file", key)
        yield from lineage.of_input(inputs, version=version, row=self._row, client_id=client_id, recorded=recorded)
        newest = next(iter(recorded), None)
        if newest is None or newest.data_version == version:
            yield self._taken_in(version, newest)
        row = lineage.input_row(inputs, self._row)
        if row is None:
            yield LANDED.unchecked("file", "there is no input row to say which")
            return None
        told = row.to_pylist()[0]
        self.values = {name: told[name] for name in (CLIENT_ID, *FEATURE_NAMES)}
        same = [one for one in recorded if one.data_version == version]
        yield from self._landing(told, same, newest)
        return row

    def _taken_in(self, version: str, newest: Recorded | None) -> Finding:
        day = self._located.day
        key, landing = lake.taken_in(lake.INFERENCE_DATA, day), f"{lake.LANDED_INFERENCE}/{day}"
        content = self._storage.read(key) if self._storage.exists(key) else None
        return lineage.of_taken_in(
            taken_in.parsed(content) if content is not None else None,
            is_there=content is not None,
            version=version,
            newest=newest,
            landed=self._storage.fingerprint(landing),
        )

    def _landing(
        self, inputs: Mapping[str, Any], taken_in: list[Recorded], newest: Recorded | None
    ) -> Iterator[Finding]:
        folder, name = f"{lake.LANDED_INFERENCE}/{self._located.day}", inputs[SOURCE_FILE]
        self.about |= {"landed": f"{folder}/{name}", "landed_row": inputs[SOURCE_ROW]}
        # By what is there, since a name in a table that was altered may lead anywhere.
        entries = self._storage.entries(folder)
        regular = [one.name for one in entries if not one.is_folder and not one.is_link]
        there = next((one for one in regular if printable(one) == name), None)
        with ExitStack() as held:
            path = held.enter_context(self._storage.on_disk(f"{folder}/{there}")) if there else None
            yield from lineage.of_landing(path, inputs, day=self._located.day, taken_in=taken_in, newest=newest)

    def _model(
        self, shared: Mapping[str, Any], prediction: Mapping[str, Any], inputs: pa.Table | None
    ) -> Generator[Finding, None, Recorded | None]:
        """Look at the model and its training; returns the materialisation of that, or None."""
        version = self._registered(shared["model_version"])
        if version is None:
            yield MODEL.missing("registry", f"version {shared['model_version']} is not registered")
            return None
        yield model.of_version(shared, name=version.name, sha256=version.sha256)
        trained = self._trained(version.sha256)
        if not self._storage.exists(version.key):
            yield MODEL.missing("files", f"{version.key} is gone")
            return trained
        with self._storage.on_disk(version.key) as folder:
            manifest = model.manifest_in(folder)
            yield from model.of_model(
                folder,
                manifest,
                sha256=version.sha256,
                tags=version.tags,
                trained=trained,
                log_is_empty=self._history.is_empty("trained_model"),
            )
            if inputs is None:
                yield MODEL.unchecked("score", "there is no input row to score again")
            else:
                expectation = Expectation(version.sha256, version.tags.get(MANIFEST_TAG) or None)
                yield model.of_score(folder, inputs, prediction, expectation=expectation)
        self.about |= {"model": version.key, "training_run_id": trained.run_id if trained else None}
        yield from self._training(version, manifest)
        return trained

    def _registered(self, version: str) -> ModelVersion | None:
        """Return a version; not by `ModelRegistry.get`, which takes an alias for one."""
        return next((one for one in self._versions if one.version == version), None)

    def _trained(self, sha256: str) -> Recorded | None:
        """Return what was recorded of a training; a page at a time, since these hold pictures."""
        made = (one for _, one in self._history.of("trained_model", page=5))
        return next((one for one in made if one.metadata.get("model_sha256") == sha256), None)

    def _training(self, version: ModelVersion, manifest: Mapping[str, Any]) -> Iterator[Finding]:
        prepared = version.tags.get("prepared_data_version") or manifest.get("prepared_data_version")
        if not prepared:
            yield TRAINING.missing("content", "neither the registry nor the manifest says which prepared data it was")
            return
        key = lake.prepared(prepared)
        self.about |= {"prepared_data": key, "curated_data_version": None}
        recorded = [one for _, one in self._history.of("prepared_data")]
        with ExitStack() as held:
            folder = held.enter_context(self._storage.on_disk(key)) if self._storage.exists(key) else None
            if folder is not None:
                self.about["curated_data_version"] = model.manifest_in(folder).get("curated_data_version")
            yield from model.of_prepared(folder, str(prepared), tags=version.tags, recorded=recorded)

    def _promotion(self, version: str, since: datetime, scored_at: datetime) -> Iterator[Finding]:
        found = ledger.read(self._storage)
        deployed = [one for _, one in self._history.of("batch_deployment")]
        yield from promotion.of_ledger(found, deployed, self._history.run)
        if found.entries:
            yield promotion.of_being_live(found, version, since=since, scored_at=scored_at, run=self._history.run)
        registered = self._registered(version)
        if registered is not None:
            key = lake.verdict(version)
            stored = self._storage.read(key) if self._storage.exists(key) else None
            yield promotion.of_verdict(found, version, stored, tags=registered.tags)
