"""Width, size and memory are bounded before they are needed, each by a setting that the message names."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.core.files.limits import Limits
from credit_default.core.files.reading import ReadFiles, read_file
from credit_default.core.memory import usable_memory
from credit_default.errors import ContractError, SettingsError, UnreadableFile
from credit_default.settings import read
from credit_default_tests.core.files.test_reading import SECRET, refusal, write

NOTHING = "0::/nothing\n"


@pytest.fixture
def setting(monkeypatch):
    return lambda name, value: monkeypatch.setenv(f"CREDIT_DEFAULT_MAX_{name}", str(value))


@pytest.fixture
def allowed(setting):
    """Allow files so many bytes of memory."""
    return lambda size: setting("MEMORY_SHARE", max(size / usable_memory(), 0.01))


def small_machine(code: str, path, megabytes: int) -> dict:
    """Run code in a process that may map so much more memory than it has with its libraries: its result, and peak."""
    program = f"""
import json, resource, sys
from pathlib import Path
from credit_default.core.files.reading import read_file
mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + ({megabytes} << 20),) * 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[1])
{code}
print(json.dumps({{"told": told, "mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10}}))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


READ = """
try:
    told = str(read_file(path).table.num_rows)
except Exception as error:
    told = f"{type(error).__name__}: {error}"
"""


class TestWidth:
    @pytest.mark.parametrize("rows", [0, 2])
    def test_a_csv_file_of_too_many_columns_is_refused_at_its_header(self, tmp_path, rows):
        header = ",".join(f"{SECRET}{number}" for number in range(300_000))
        path = write(tmp_path, f"{header}\n" + f"{',' * 299_999}\n" * rows)

        told = refusal(path, ContractError)

        assert told == (
            "clients.csv, header: has more than 1,000 columns; leave out those that are not needed, or raise "
            "CREDIT_DEFAULT_MAX_COLUMNS."
        )

    def test_a_parquet_file_too(self, tmp_path):
        pq.write_table(pa.table([pa.array([1])] * 1001, names=[f"c{n}" for n in range(1001)]), tmp_path / "w.parquet")

        assert "more than 1,000 columns" in refusal(tmp_path / "w.parquet", ContractError)

    def test_a_header_of_several_lines_is_counted_whole(self, tmp_path):
        some = [",".join(f"c{number}" for number in range(start, start + 600)) for start in (0, 600)]

        told = refusal(write(tmp_path, f'{some[0]},"x\ny",{some[1]}\n'), ContractError)

        assert "header: has more than 1,000 columns" in told

    def test_as_many_as_are_allowed_are_read(self, tmp_path, setting):
        header = ",".join(f"c{number}" for number in range(1001))
        path = write(tmp_path, f"{header}\n{',' * 1000}\n")
        setting("COLUMNS", 1001)

        assert read_file(path).table.num_columns == 1001

    def test_commas_inside_quotes_are_no_columns(self, tmp_path):
        assert read_file(write(tmp_path, f'a,"{"," * 5000}"\n1,2\n')).table.num_columns == 2


class TestRows:
    @pytest.mark.parametrize("end", ["\n", "\r"])
    @pytest.mark.parametrize("quote", ["", '"'])
    def test_a_row_that_is_too_large_is_refused_with_its_line(self, tmp_path, setting, end, quote):
        setting("ROW_MB", 1)
        # Many fields of many lines, since a single field of such a size is refused for itself.
        field = f"{quote}{SECRET}{end if quote else ''}{quote}," * 100_000
        path = write(tmp_path, f"a,b{end}1,2{end}{field}{end}3,4{end}")

        told = refusal(path)

        assert ", line 3: a row is larger than 1 MB" in told
        assert told.endswith("or raise CREDIT_DEFAULT_MAX_ROW_MB.")

    def test_a_parquet_file_too(self, tmp_path, setting):
        setting("ROW_MB", 1)
        half = "x" * (600 << 10)
        pq.write_table(pa.table({"a": ["1", half, half], "b": [half, None, half]}), tmp_path / "large.parquet")

        assert "large.parquet, row 3: a row is larger than 1 MB" in refusal(tmp_path / "large.parquet")

    @pytest.mark.parametrize(
        "values",
        [
            [["x"], None, ["y" * (600 << 10)] * 2, []],
            [{"f": "x"}, None, {"f": "y" * (2 << 20)}, {"f": None}],
            pa.array([[], None, [("k", "y" * (2 << 20))], [("k", "x")]], pa.map_(pa.string(), pa.string())),
        ],
        ids=["list", "struct", "map"],
    )
    def test_what_is_inside_a_column_counts(self, tmp_path, setting, values):
        setting("ROW_MB", 1)
        pq.write_table(pa.table({"a": values, "b": ["1"] * 4}), tmp_path / "nested.parquet")

        assert "nested.parquet, row 3: a row is larger than 1 MB" in refusal(tmp_path / "nested.parquet")


class TestMemory:
    def test_a_value_repeated_a_billion_times_is_refused_by_the_metadata(self, tmp_path):
        nothing = pa.nulls(10_000_000, pa.int64())
        pq.write_table(pa.table([nothing] * 20, names=[f"c{n}" for n in range(20)]), tmp_path / "bomb.parquet")
        assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20

        found = small_machine(READ, tmp_path / "bomb.parquet", 500)

        assert "bomb.parquet: takes about 1,5" in found["told"]
        assert "raise CREDIT_DEFAULT_MAX_MEMORY_SHARE" in found["told"]
        assert found["mb"] < 100

    def test_metadata_that_is_large_itself_is_not_read(self, tmp_path, allowed, monkeypatch):
        monkeypatch.setattr("credit_default.core.files.limits.usable_memory", lambda: 1 << 30)
        footer = b"\0" * (1 << 20)
        (tmp_path / "m.parquet").write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
        allowed(0)  # the least that can be set: a hundredth

        assert "m.parquet: takes about 17 MB" in refusal(tmp_path / "m.parquet")

    def test_a_text_repeated_a_million_times_is_read_once_and_refused(self, tmp_path):
        text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), pa.array([SECRET * 50_000]))
        pq.write_table(pa.table({"a": text}), tmp_path / "bomb.parquet", store_schema=False)

        found = small_machine(READ, tmp_path / "bomb.parquet", 2000)

        assert "bomb.parquet: takes about 524,5" in found["told"]
        assert SECRET not in found["told"]
        assert found["mb"] < 200

    def test_metadata_that_lies_runs_into_a_limit_of_the_process_and_not_of_the_machine(self, tmp_path, setting):
        texts = pa.array([f"{number:06}" + "x" * 100_000 for number in range(3000)])
        pq.write_table(pa.table({"a": texts}), tmp_path / "l.parquet", use_dictionary=False, compression="zstd")
        data = (tmp_path / "l.parquet").read_bytes()
        said = pq.read_metadata(tmp_path / "l.parquet").row_group(0).total_byte_size
        assert said > 280 << 20
        # The same number of bytes, so that the footer stays whole; it stands in the column and in the row group.
        assert data.count(varint(said)) == 2
        (tmp_path / "l.parquet").write_bytes(data.replace(varint(said), varint(said, lie=1)))
        assert pq.read_metadata(tmp_path / "l.parquet").row_group(0).total_byte_size == 1

        setting("MEMORY_SHARE", "0.05")
        found = small_machine(READ, tmp_path / "l.parquet", 1000)

        assert "although its metadata says less" in found["told"]
        assert found["mb"] < 250

    def test_a_list_of_nothings_in_one_row_runs_into_it_too(self, tmp_path, setting):
        nothings = pa.ListArray.from_arrays(pa.array([0, 30_000_000], pa.int32()), pa.nulls(30_000_000, pa.int64()))
        pq.write_table(pa.table({"a": nothings}), tmp_path / "list.parquet")
        setting("MEMORY_SHARE", "0.05")

        found = small_machine(READ, tmp_path / "list.parquet", 1000)

        assert "although its metadata says less" in found["told"]
        assert found["mb"] < 150

    @pytest.mark.parametrize("line", ["\n", "1,2\n", ",\n"])
    def test_lines_cost_memory_besides_their_text(self, tmp_path, allowed, line):
        path = write(tmp_path, "a,b\n" + line * 10_000_000)
        allowed(20 * 10_000_000)

        assert "takes about" in refusal(path)

    def test_a_csv_file_that_is_too_large_is_refused_before_it_is_read(self, tmp_path):
        with (tmp_path / "huge.csv").open("wb") as stream:
            stream.truncate(1 << 40)  # a file of holes, which takes no space

        assert "huge.csv: takes about 1,048,576 MB" in refusal(tmp_path / "huge.csv")

    def test_a_process_that_has_less_left_than_it_may_use_says_so(self, tmp_path):
        found = small_machine(READ, write(tmp_path, "a,b\n" + "1,2\n" * 3_000_000), 40)

        assert "clients.csv: takes more memory than this process has left" in found["told"]

    def test_files_that_are_read_together_share_the_memory(self, tmp_path, allowed):
        rows = "1,2\n" * 1_000_000
        files = [write(tmp_path, f"a,b\n{rows}{number},0\n", f"{number}.csv") for number in range(8)]
        allowed(300_000_000)
        together = ReadFiles()

        for file in files[:4]:
            assert together.read(file) is not None
        with pytest.raises(UnreadableFile, match=r"\.csv: takes about .* which is with the files beside it more than"):
            [together.read(file) for file in files[4:]]
        read_file(files[-1])

    def test_rows_of_another_table_are_not_kept_by_the_million(self, tmp_path, monkeypatch):
        monkeypatch.setattr("credit_default.core.files.csv_file.MAX_MALFORMED_ROWS", 1000)
        path = write(tmp_path, "a,b\n1,2\n" + f"{SECRET}\n" * 1001)

        assert "more than 1,000 rows have another number of fields than the header" in refusal(path, ContractError)


def varint(number: int, *, lie: int | None = None) -> bytes:
    """A number as Thrift's compact protocol writes it (zigzag, seven bits a byte); `lie` in as many bytes."""
    value, length = number << 1, 0
    while value >> (7 * length):
        length += 1
    value = (number if lie is None else lie) << 1
    parts = [(value >> (7 * place)) & 0x7F for place in range(length)]
    return bytes([*(part | 0x80 for part in parts[:-1]), parts[-1]])


class TestUsableMemory:
    def test_it_is_that_of_the_machine_where_there_is_no_limit(self, tmp_path):
        groups = tmp_path / "cgroup"
        groups.write_text(NOTHING)

        assert usable_memory(groups, tmp_path) > 1 << 28
        assert usable_memory(tmp_path / "missing", tmp_path) == usable_memory(groups, tmp_path)

    @pytest.mark.parametrize(
        ("groups", "limits", "expected"),
        [
            ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "1000000"}, 1_000_000),
            ("0::/a/b\n", {"a/b/memory.high": "2000000", "a/memory.max": "3000000"}, 2_000_000),
            ("0::/\n", {"memory.max": "1000000"}, 1_000_000),
            ("4:memory:/docker/1\n0::/\n", {"memory/memory.limit_in_bytes": "1000000"}, 1_000_000),
            ("4:cpu,memory:/x\n", {"cpu,memory/x/memory.limit_in_bytes": "1000000"}, 1_000_000),
        ],
        ids=["outer group", "high", "container, v2", "container, v1", "together with another"],
    )
    def test_the_tightest_control_group_counts(self, tmp_path, groups, limits, expected):
        (tmp_path / "cgroup").write_text(groups)
        for name, limit in limits.items():
            path = tmp_path / "mount" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{limit}\n")

        assert usable_memory(tmp_path / "cgroup", tmp_path / "mount") == expected

    def test_a_limit_of_the_process_counts(self):
        code = """
from credit_default.core.memory import usable_memory
told = usable_memory() == resource.getrlimit(resource.RLIMIT_AS)[0]
"""
        assert small_machine(code, "", 500)["told"]

    def test_the_limits_of_this_process_are_as_before_when_a_file_was_read(self, tmp_path):
        pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
        before = resource.getrlimit(resource.RLIMIT_AS)

        read_file(tmp_path / "t.parquet")

        assert resource.getrlimit(resource.RLIMIT_AS) == before


class TestSettings:
    def test_they_have_defaults_and_travel_as_variables(self):
        assert read({}).limits == Limits(max_columns=1000, max_row_mb=64, max_memory_share=0.5)
        other = Limits(max_columns=2000, max_row_mb=1, max_memory_share=0.25)
        assert read(other.as_variables()).limits == other

    def test_everything_that_is_wrong_is_said_at_once(self):
        wrong = {
            "CREDIT_DEFAULT_MAX_COLUMNS": "10",
            "CREDIT_DEFAULT_MAX_ROW_MB": "-1",
            "CREDIT_DEFAULT_MAX_MEMORY_SHARE": "nan",
        }
        with pytest.raises(SettingsError) as caught:
            read(wrong)
        problems = str(caught.value).split("; CREDIT")
        assert len(problems) == 3
        assert "MAX_COLUMNS is '10'; expected a whole number, 50 to 100,000 (columns of a landed file)" in problems[0]
        assert "MAX_ROW_MB is '-1'; expected a whole number, 1 to 1,024" in problems[1]
        assert "MAX_MEMORY_SHARE is 'nan'; expected a share, 0.01 to 0.9" in problems[2]

    def test_numbers_are_written_as_in_every_other_setting(self):
        wrong = {
            "CREDIT_DEFAULT_MAX_COLUMNS": "1_000",
            "CREDIT_DEFAULT_MAX_ROW_MB": "+64",
            "CREDIT_DEFAULT_MAX_MEMORY_SHARE": "0.2_5",
        }
        with pytest.raises(SettingsError) as caught:
            read(wrong)
        for name, written in wrong.items():
            assert f"{name} is {written!r}; expected" in str(caught.value)

    def test_a_process_that_is_started_with_a_wrong_one_says_so(self, tmp_path, setting):
        setting("COLUMNS", "many")

        with pytest.raises(SettingsError, match="CREDIT_DEFAULT_MAX_COLUMNS is 'many'"):
            read_file(write(tmp_path, "a,b\n1,2\n"))
