"""`make demo`: the whole life of a model on real data, told as it happens.

Each chapter is a Dagster run in a process of its own, kept in the instance that `make dev` opens.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from credit_default import shown
from credit_default.core.model_folder import MANIFEST_FILE, read_manifest
from credit_default.defs import monitoring, scoring
from credit_default.defs.landing import Chain, busy_days, look, stretches
from credit_default.demo_chapters import Chapter, ChapterFailed, with_trials
from credit_default.demo_loop import ClosingTheLoop
from credit_default.instance import prepare
from credit_default.resources import resources_for
from credit_default.resources.model_versions import expectation_of
from credit_default.resources.ports import Storage
from credit_default.run_job import why_failed
from credit_default.run_process import running
from credit_default.settings import Environment, Settings
from credit_default.shown import console

#: Written beside the sample, so that a demo on a later day goes on with the same days.
_SAMPLE = "landing/.sample.json"
SHIFT_FROM_DAY = 19
#: Days that arrive after the retraining, of a sample with enough days of the shift before them to learn from.
_AFTERWARDS, _FEWEST_SHIFTED = 3, 5


class Demo:
    """Plays the chapters that are still to be played; a second demo on top finds nothing to do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.environment = prepare(settings)
        # In this process too, for the instance that the progress bars read.
        os.environ.update(self.environment)
        self.ports = resources_for(settings)
        self.console = console()

    def play(self, *, trials: int, days: int, rows: int | None) -> int:
        """Play the story; returns the exit code."""
        started = time.monotonic()
        acts = self._acts(days, rows)
        with dg.DagsterInstance.get() as instance:
            try:
                self.arrive(acts[0])
                for chapter in self._model_chapters(trials):
                    self.run(instance, chapter)
                self.work_off(instance)
                if len(acts) > 1:
                    ClosingTheLoop(self, instance, trials).play(acts[1], acts[2])
            except ChapterFailed:
                return 1
        self._summary(time.monotonic() - started)
        return 0

    def work_off(self, instance: dg.DagsterInstance) -> None:
        """Score what has arrived, and judge it where its outcomes are there."""
        for job, area, asset, per_day, title in (
            ("score_batch", scoring, "inference_data", 3, "Scoring and measuring drift"),
            ("judge_predictions", monitoring, "outcomes", 2, "Judging by outcomes"),
        ):
            for first, last in self._pending(instance, job, area.LANDING, asset, area.CHAIN):
                number = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
                span = ("--from", first, "--to", last)
                self.run(instance, Chapter(f"{title}: {number} days", job, number * per_day, span))

    def _acts(self, days: int, rows: int | None) -> list[dict[str, bytes]]:
        """Make the sample, and return the files that arrive together: key to content.

        One act holds everything, unless there are enough days of the shift to learn from: then the outcomes of these
        are the second act, and the last days the third.
        """
        from credit_default.core.sample import write_sample

        storage = self.ports["storage"]
        if storage.exists(_SAMPLE):
            until = date.fromisoformat(json.loads(storage.read(_SAMPLE))["until"])
        else:
            until = (datetime.now(UTC) - timedelta(days=1)).date()
        last_known = days - _AFTERWARDS
        closes = last_known - SHIFT_FROM_DAY + 1 >= _FEWEST_SHIFTED and rows is None
        acts: list[dict[str, bytes]] = [{}, {}, {}] if closes else [{}]
        with tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            made = write_sample(
                Path(folder),
                until=until,
                days=days,
                shift_from_day=SHIFT_FROM_DAY,
                rows=rows,
                outcomes_to_day=last_known if closes else None,
            )
            for path in made.written:
                key = path.relative_to(folder)
                number = made.days.index(date.fromisoformat(key.parent.name)) + 1
                late = 2 if number > last_known else 1 if key.parts[0] == "outcomes" and number >= SHIFT_FROM_DAY else 0
                acts[late if closes else 0][f"landing/{key.as_posix()}"] = path.read_bytes()
        storage.write(_SAMPLE, json.dumps({"until": until.isoformat()}).encode())
        self.console.print(
            f"[bold]{made.rows:,} real clients[/] (UCI) arrive over {len(made.days)} days, "
            f"{made.days[0]} to {made.days[-1]}.\n"
            "The days are made up, and so is the shift: "
            + (
                f"from {made.shifted_days[0]} on, amounts come in NT$, 20 times as large."
                if made.shifted_days
                else "none."
            )
        )
        return acts

    def arrive(self, files: Mapping[str, bytes]) -> bool:
        """Let files arrive; whether there was anything that was not there yet."""
        landed = [_land(self.ports["storage"], key, content) for key, content in files.items()]
        return any(landed)

    def _model_chapters(self, trials: int) -> Iterator[Chapter]:
        live = self.ports["endpoint"].state().default
        if live is not None:
            self.console.print(f"Version {live} of the model is live already; it stays.")
            return
        yield Chapter("Curating, preparing, training", "train_model", 5, ("--config", with_trials(trials)))
        yield Chapter("Deploying", "deploy_model", 1)

    def _pending(
        self, instance: dg.DagsterInstance, job: str, folder: str, asset: str, chain: Chain
    ) -> list[tuple[str, str]]:
        found = look(
            instance,
            self.ports["storage"],
            folder=folder,
            asset=asset,
            chain=chain,
            start=self.settings.start,
            seen={},
            busy=busy_days(instance, job),  # `make dev` beside this may be at it already
            settling_seconds=0,
        )
        for name, problem in found.unusable.items():
            self.console.print(f"[yellow]{folder}/{name} is left alone: {problem}.[/]")
        if not found.pending:
            self.console.print(f"Nothing new in {folder}.")
        return stretches(found.pending)

    def run(self, instance: dg.DagsterInstance, chapter: Chapter) -> None:
        """Run a job in a process of its own and show its materialisations as they come.

        Raises
        ------
        ChapterFailed
            The job failed, which has been told.
        """
        log = self.settings.home / "demo.log"
        with (
            running(instance, chapter.job, chapter.arguments, log, self.environment) as process,
            self._progress() as progress,
        ):
            task = progress.add_task(chapter.title, total=chapter.events, what="starting")
            ended = False
            while not ended:
                ended = process.ended(within=0.5)
                run = process.run()
                if run is not None:
                    self._advance(instance, run.run_id, progress, task)
        if not process.failed:
            return
        self.console.print(f"[bold red]{chapter.job} failed.[/] {why_failed(instance, run)}\nThe whole log: {log}")
        raise ChapterFailed(chapter.job)

    @staticmethod
    def _advance(instance: dg.DagsterInstance, run_id: str, progress: Progress, task: Any) -> None:
        made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        if made and made[-1].asset_materialization is not None:
            last = made[-1].asset_materialization
            what = " ".join(filter(None, (last.asset_key.to_user_string(), last.partition)))
            progress.update(task, completed=len(made), what=what)

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<40}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[what]}[/]"),
            console=self.console,
        )

    def _summary(self, seconds: float) -> None:
        version = self.ports["endpoint"].state().default
        model = self.ports["registry"].get(version)
        key = f"{model.key}/{MANIFEST_FILE}"
        manifest = read_manifest(self.ports["storage"].read(key), expectation_of(model), key)
        self.console.print(shown.model_table(manifest, version))
        with dg.DagsterInstance.get() as instance:
            self.console.print(shown.days_table(_days(instance)))
        command = Path(os.path.relpath(sys.executable)).with_name("credit-default")
        if self.settings.environment is Environment.LOCAL:
            arrivals = os.path.relpath(self.settings.landing / "inference" / "batch")
        else:
            arrivals = self.ports["storage"].uri(scoring.LANDING)
        self.console.print(
            f"Done in {seconds:.0f} s. What to open next:\n"
            "  make dev\n      the asset graph, runs, plots and tables\n"
            f"  {command} models\n      registered versions\n"
            f'  {command} query "traces | take 5"\n      what a monitor would see\n'
            f"  {arrivals}/<day>/\n      drop files of your own here; with make dev running they score themselves",
            soft_wrap=True,
        )


def _land(storage: Storage, key: str, content: bytes) -> bool:
    """Let a file arrive, unless this very one is there: one that is written again counts as changed."""
    if storage.exists(key) and storage.read(key) == content:
        return False
    storage.write(key, content)
    return True


def _days(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """Return what was stored for each day, from the newest materialisation of each daily asset."""
    figures: dict[str, dict[str, Any]] = {}
    for asset, wanted in (
        ("inference_data", {"dagster/row_count": "rows", "rejected": "rejected"}),
        ("batch_predictions", {"mean_pd": "mean_pd"}),
        ("drift_metrics", {name: name for name in ("model_version", "n_drifted_features", "psi", "violation")}),
        ("model_performance", {"roc_auc": "roc_auc"}),
    ):
        records = instance.fetch_materializations(dg.AssetKey(asset), limit=5000, ascending=True).records
        for record in records:
            made = record.asset_materialization
            if made is None or made.partition is None:
                continue
            day = figures.setdefault(made.partition, {"day": made.partition})
            day |= {title: made.metadata[name].value for name, title in wanted.items() if name in made.metadata}
    return [figures[day] for day in sorted(figures)]


def play(settings: Settings, *, trials: int, days: int, rows: int | None) -> int:
    """Play the demo; see `Demo.play`."""
    return Demo(settings).play(trials=trials, days=days, rows=rows)
