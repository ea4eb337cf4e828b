"""`make demo`: the whole life of a model on real data, told as it happens.

Each chapter is a Dagster run in a process of its own, kept in the instance that `make dev` opens.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock, Timeout
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from credit_default.core.plurals import plural, verb
from credit_default.core.printable import without_controls
from credit_default.core.sentences import sentence
from credit_default.core.stored_json import read_object
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.landing.landing import Chain, busy_days, look, stretches
from credit_default.demo.chapters import Chapter, ChapterFailed, with_trials
from credit_default.demo.loop import ClosingTheLoop
from credit_default.demo.summary import describe_next_steps, show_results
from credit_default.errors import CreditDefaultError, NotAllowed
from credit_default.ports import Storage
from credit_default.resources import resources_for
from credit_default.runs.instance import prepare
from credit_default.runs.run_job import why_failed
from credit_default.runs.run_process import running
from credit_default.settings import HOME_VARIABLE, Settings
from credit_default.terminal.tables import console

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
        #: What was left out: the days of a landing folder by the fingerprint of their files, and entries that are none.
        self._left_out: dict[tuple[str, str], str] = {}

    def play(self, *, trials: int, days: int, rows: int | None) -> int:
        """Play the story; returns the exit code: 0 when all of it was played."""
        started = time.monotonic()
        stopped_by = None
        try:
            with dg.DagsterInstance.get() as instance:
                self._play(instance, trials=trials, days=days, rows=rows)
        except (ChapterFailed, CreditDefaultError) as error:
            stopped_by = sentence(f"The demo ends here: {error}")
            self.warn(stopped_by)
        try:
            show_results(self.console, self.ports)
        except CreditDefaultError as error:
            stopped_by = stopped_by or f"The results cannot be shown: {error}"
            self.warn(str(error))
        if self._left_out:
            self.warn(f"Left out, for the reasons above: {', '.join('/'.join(key) for key in self._left_out)}.")
        seconds = f"{time.monotonic() - started:.0f} s"
        rest = ", but for what was left out" if self._left_out else ""
        ended = f"Ended by an error after {seconds}." if stopped_by else f"Done in {seconds}{rest}."
        next_steps = describe_next_steps(self.settings, self.ports["storage"])
        self.console.print(f"{ended} {next_steps}", soft_wrap=True, markup=False)
        return 1 if stopped_by or self._left_out else 0

    def _play(self, instance: dg.DagsterInstance, *, trials: int, days: int, rows: int | None) -> None:
        acts = self._acts(days, rows)
        self.arrive(acts[0])
        for chapter in self._model_chapters(trials):
            self.run(instance, chapter)
        self.work_off(instance)
        if len(acts) > 1:
            ClosingTheLoop(self, instance, trials).play(acts[1], acts[2])

    def warn(self, message: str) -> None:
        """Print something that went wrong, in yellow where there are colours."""
        # Names of files need be no text, and may hold what acts on a terminal.
        self.console.print(without_controls(message), style="yellow", soft_wrap=True, markup=False)

    def work_off(self, instance: dg.DagsterInstance) -> None:
        """Score what has arrived, and judge it where its outcomes are there; days that fail are named and left out."""
        for job, area, asset, per_day, title in (
            ("score_batch", scoring, "inference_data", 3, "Scoring and measuring drift"),
            ("judge_predictions", monitoring, "outcomes", 2, "Judging by outcomes"),
        ):
            pending = self._pending(instance, job, area.LANDING, asset, area.CHAIN)
            if not pending:
                self.console.print(f"Nothing new in {area.LANDING}.")
            for first, last in stretches(pending):
                number = (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
                span = ("--from", first, "--to", last)
                chapter = Chapter(f"{title}: {plural(number, 'day')}", job, number * per_day, span)
                try:
                    self.run(instance, chapter)
                except ChapterFailed as error:
                    known = set(self._left_out)
                    still = self._pending(instance, job, area.LANDING, asset, area.CHAIN)
                    failed = {day: still[day] for day in still if first <= day <= last}
                    if not failed and known == set(self._left_out):  # none of its days is to blame
                        raise
                    self._left_out |= {(area.LANDING, day): fingerprint for day, fingerprint in failed.items()}
                    self.warn(str(error))

    def _acts(self, days: int, rows: int | None) -> list[dict[str, bytes]]:
        """Make the sample, and return the files that arrive together: key to content.

        One act holds everything, unless there are enough days of the shift to learn from: then the outcomes of these
        are the second act, and the last days the third.
        """
        from credit_default.core.data.sample import write_sample

        storage = self.ports["storage"]
        if storage.exists(_SAMPLE):
            until = date.fromisoformat(
                read_object(storage.read(_SAMPLE), _SAMPLE, "remove it, and play the demo again", until=str)["until"]
            )
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
            f"[bold]{plural(made.rows, 'real client')}[/] (UCI) {verb(made.rows, 'arrives', 'arrive')} over "
            f"{plural(len(made.days), 'day')}, "
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

    def _pending(self, instance: dg.DagsterInstance, job: str, folder: str, asset: str, chain: Chain) -> dict[str, str]:
        """Return the days to work on, with the fingerprints of their files, but for those that were left out."""
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
        for name, problem in {**found.unusable, **found.refused}.items():
            if (folder, name) not in self._left_out:
                self._left_out[folder, name] = problem
                self.warn(sentence(f"{folder}/{name} is left out: {problem}"))
        return {
            day: fingerprint
            for day, fingerprint in found.pending.items()
            if self._left_out.get((folder, day)) != fingerprint
        }

    def run(self, instance: dg.DagsterInstance, chapter: Chapter) -> None:
        """Run a job in a process of its own and show its materialisations as they come.

        Raises
        ------
        ChapterFailed
            The job failed; the message says why.
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
        failed = sentence(f"{chapter.job} failed: {why_failed(instance, run)}")
        raise ChapterFailed(f"{failed}\nThe whole log: {log}")

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


def _land(storage: Storage, key: str, content: bytes) -> bool:
    """Let a file arrive, unless this very one is there: one that is written again counts as changed."""
    if storage.exists(key) and storage.read(key) == content:
        return False
    storage.write(key, content)
    return True


def play(settings: Settings, *, trials: int, days: int, rows: int | None) -> int:
    """Play the demo, if no other one is playing in this home; see `Demo.play`.

    Raises
    ------
    NotAllowed
        Another one is playing.
    """
    demo = Demo(settings)
    try:
        # The system lets go of it when the process ends, however that happens.
        with FileLock(settings.home / "demo.lock", timeout=0):
            return demo.play(trials=trials, days=days, rows=rows)
    except Timeout:
        raise NotAllowed(
            f"A demo is playing in {settings.home}; wait for its end, or set {HOME_VARIABLE} to another folder"
        ) from None
