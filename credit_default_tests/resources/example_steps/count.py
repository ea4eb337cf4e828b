"""A step that stores a file a day, slowly if asked to, and can fail in several ways."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from credit_default.core.files.limits import current_limits
from credit_default.errors import InputError
from credit_default.pipes.reporting import reporting


def read(source):
    if source.is_file():
        return source.read_text()
    return sorted(path.name for path in source.glob("*") if not path.name.startswith("."))


def die_if_wanted(day, wanted, kills):
    which, _, times = wanted.partition("=")
    if day == which:
        done = kills.read_text().splitlines() if kills.exists() else []
        if done.count(day) < int(times):
            kills.write_text("".join(f"{line}\n" for line in [*done, day]))
            os.kill(os.getpid(), signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path)
    parser.add_argument("--days", default="")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--fail")
    parser.add_argument("--started", type=Path, help="a line is added for each process that starts")
    parser.add_argument("--source", type=Path, help="a file or folder that is read")
    parser.add_argument("--kill", default="", help="<day>=<times>: the process is killed that often at the day")
    parser.add_argument("--kills", type=Path, help="a line is added for each such kill")
    parser.add_argument("--hang", default="", help="a day that takes for ever")
    given = parser.parse_args()
    if given.started:
        with given.started.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
    with reporting(given.output) as report:
        for day in given.days.split(","):
            time.sleep(600 if day == given.hang else given.seconds)
            die_if_wanted(day, given.kill, given.kills)
            if day == given.fail:
                report.refused(day, InputError("this day is refused"))
                continue
            (given.output / day).mkdir(parents=True)
            (given.output / day / "count.txt").write_text(f"{day}\n")
            report.info(f"counted {day}")
            files = {"count": f"{day}/count.txt"}
            limits = current_limits().as_variables()
            result = {"rows": 1, "read": read(given.source) if given.source else None, "limits": limits}
            report.stored(partition=day, data_version=f"v-{day}", result=result, files=files)
        print("printed by the step")
        if given.fail == "raise":
            raise InputError("columns age: missing")
        if given.fail == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if given.fail == "shell":
            os._exit(137)  # as a shell does whose program was killed
        if given.fail == "child":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            time.sleep(600)


if __name__ == "__main__":
    main()
