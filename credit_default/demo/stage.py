"""What the demo is played on: an environment whose jobs are run one after the other, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from credit_default.core.plurals import plural
from credit_default.core.printable import without_controls
from credit_default.core.sentences import sentence
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.landing.refusals import Chain
from credit_default.defs.landing.scan import busy_days, scan_landing, stretches
from credit_default.demo.chapters import Chapter, ChapterFailed
from credit_default.ports import Storage
from credit_default.resources import resources_for
from credit_default.runs.instance import prepare
from credit_default.runs.run_job import why_failed
from credit_default.runs.run_process import running
from credit_default.settings import Settings
from credit_default.terminal.tables import console


class Stage:
    """Lets files arrive, runs jobs, and shows how far they are."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.environment = prepare(settings)
        # In this process too, for the instance that the progress bars read.
        os.environ.update(self.environment)
        self.ports = resources_for(settings)
        self.console = console()
        #: What was left out: the days of a landing folder by the fingerprint of their files, and entries that are none.
        self._left_out: dict[tuple[str, str], str] = {}

    def arrive(self, files: Mapping[str, bytes]) -> bool:
        """Let files arrive; whether there was anything that was not there yet."""
        landed = [_land(self.ports["storage"], key, content) for key, content in files.items()]
        return any(landed)

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

    def warn(self, message: str) -> None:
        """Print something that went wrong, in yellow where there are colours."""
        # Names of files need be no text, and may hold what acts on a terminal.
        self.console.print(without_controls(message), style="yellow", soft_wrap=True, markup=False)

    def _pending(self, instance: dg.DagsterInstance, job: str, folder: str, asset: str, chain: Chain) -> dict[str, str]:
        """Return the days to work on, with the fingerprints of their files, but for those that were left out."""
        found = scan_landing(
            instance,
            self.ports["storage"],
            folder=folder,
            asset=asset,
            chain=chain,
            start=self.settings.start,
            seen={},
            busy=busy_days(instance, job),  # `make dev` beside this may be at it already
            quiet_period=0,
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
