"""The emulator as a process: started by hand, and leaving nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from credit_default_tests import CHECKOUT
from credit_default_tests.azure_emulator import Emulator

pytestmark = pytest.mark.slow

README = Path(__file__).parents[1] / "azure_emulator" / "README.md"
PROGRAM = """
import os
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential

client = MLClient(DefaultAzureCredential(), *(os.environ[name] for name in (
    "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_ML_WORKSPACE")))
print(client.datastores.get_default().account_name)
"""


def family(process):
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def test_by_hand_with_the_readme_s_commands(tmp_path):
    """The shell lines of the README, with another folder, up to where a shell's SDK is pointed at the emulator."""
    lines = re.search(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)[1].replace(".azure-emulator", str(tmp_path))
    script = f"set -euo pipefail\nexport PATH={Path(sys.executable).parent}:$PATH\n{lines}\npython -c '{PROGRAM}'\n"

    # A shell of its own, whose end is the end of all it started.
    shell = subprocess.run(
        ["bash", "-c", script + "kill $emulator\nwait $emulator"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
    )

    assert shell.returncode == 0, shell.stderr
    assert shell.stdout.splitlines()[-1] == "cdlake"
    assert left_below(tmp_path) == []


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal_it_takes_everything_along(tmp_path, told):
    process = subprocess.Popen(
        [sys.executable, "-m", "credit_default_tests.azure_emulator", "--home", str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
    )
    assert json.loads(process.stdout.readline())["environment"]["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    started = family(process)
    assert any("azurite" in " ".join(one.cmdline()) for one in started)

    process.send_signal(told)

    assert process.wait(30) == 0
    process.stdout.close()
    assert psutil.wait_procs(started, 5)[1] == []


def test_it_ends_with_the_process_that_started_it(tmp_path):
    """Also when that process is killed hard."""
    program = (
        "import pathlib, sys, time\n"
        "from credit_default_tests.azure_emulator import Emulator\n"
        "with Emulator.started(pathlib.Path(sys.argv[1])) as emulator:\n"
        "    print(emulator.process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    test = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, cwd=CHECKOUT)
    emulator = psutil.Process(int(test.stdout.readline()))
    started = [emulator, *emulator.children(recursive=True)]

    test.kill()
    test.wait()
    test.stdout.close()

    assert psutil.wait_procs(started, 30)[1] == []


def test_what_keeps_it_from_starting_is_told(tmp_path):
    (tmp_path / "tls").write_text("in the way of a folder")

    with pytest.raises(RuntimeError, match=r"did not start(.|\n)*FileExistsError"), Emulator.started(tmp_path):
        pass


def left_below(home):
    """Return the processes that still run with a file below the folder on their command line."""
    return [one for one in psutil.process_iter() if any(str(home) in part for part in arguments(one))]


def arguments(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []
