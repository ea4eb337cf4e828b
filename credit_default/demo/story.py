"""`make demo`: the whole life of a model on real data, told as it happens.

Each chapter is a Dagster run in a process of its own, kept in the instance that `make dev` opens.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from credit_default.core import lake
from credit_default.core.plurals import plural, verb
from credit_default.core.sentences import sentence
from credit_default.core.stored_json import read_object
from credit_default.demo.chapters import Chapter, ChapterFailed, with_trials
from credit_default.demo.loop import ClosingTheLoop
from credit_default.demo.stage import Stage
from credit_default.demo.summary import describe_next_steps, show_results
from credit_default.errors import CreditDefaultError, NotAllowed
from credit_default.settings import HOME_VARIABLE, Settings

SHIFT_FROM_DAY = 19
#: Days that arrive after the retraining, of a sample with enough days of the shift before them to learn from.
_AFTERWARDS, _FEWEST_SHIFTED = 3, 5


class Demo(Stage):
    """Plays the chapters that are still to be played; a second demo on top finds nothing to do."""

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

    def _acts(self, days: int, rows: int | None) -> list[dict[str, bytes]]:
        """Make the sample, and return the files that arrive together: key to content.

        One act holds everything, unless there are enough days of the shift to learn from: then the outcomes of these
        are the second act, and the last days the third.
        """
        from credit_default.core.data.sample import write_sample

        storage, sample = self.ports["storage"], lake.LANDED_SAMPLE
        if storage.exists(sample):
            told = read_object(storage.read(sample), sample, "remove it, and play the demo again", until=str)
            until = date.fromisoformat(told["until"])
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
                acts[late if closes else 0][f"{lake.LANDING}/{key.as_posix()}"] = path.read_bytes()
        storage.write(sample, json.dumps({"until": until.isoformat()}).encode())
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

    def _model_chapters(self, trials: int) -> Iterator[Chapter]:
        live = self.ports["endpoint"].state().default
        if live is not None:
            self.console.print(f"Version {live} of the model is live already; it stays.")
            return
        yield Chapter("Curating, preparing, training", "train_model", 5, ("--config", with_trials(trials)))
        yield Chapter("Deploying", "deploy_model", 1)


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
