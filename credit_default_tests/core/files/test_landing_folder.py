"""Nothing but regular files below the landing root is read, and nothing leads out of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from credit_default.core.files.landing_folder import list_landed, open_regular, sha256_of
from credit_default.core.files.reading import read_file
from credit_default.errors import NotThere, UnreadableFile

DAY = "2026-01-01"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "landing" / DAY).mkdir(parents=True)
    return tmp_path / "landing"


def put(root, name, text="a,b\n1,2\n"):
    path = root / DAY / name
    path.write_text(text)
    return path


def names(landed):
    return [path.name for path in landed.files]


class TestListing:
    def test_files_are_listed_by_name_markers_are_left_out_and_companions_are_named(self, root):
        for name in (
            "b.csv",
            "a.PARQUET",
            "_SUCCESS",
            ".hidden.csv",
            "notes.txt",
            "b.csv.md5",
            "Thumbs.db",
            "c.csv.part",
        ):
            put(root, name)

        landed = list_landed(root, DAY)

        assert names(landed) == ["a.PARQUET", "b.csv", "notes.txt"]
        assert landed.companions[".hidden.csv"].startswith("hidden")
        assert set(landed.companions) == {".hidden.csv", "b.csv.md5", "Thumbs.db", "c.csv.part"}
        assert "upload" in landed.companions["c.csv.part"]

    def test_a_folder_that_is_not_there_holds_no_files(self, root):
        assert not list_landed(root, "2026-01-02").files
        assert not list_landed(root / "missing", DAY).files

    def test_the_root_and_what_is_above_it_may_be_links(self, root, tmp_path):
        put(root, "a.csv")
        (tmp_path / "linked").symlink_to(root)

        landed = list_landed(tmp_path / "linked", DAY)

        assert names(landed) == ["a.csv"]
        with open_regular(landed.files[0], root=tmp_path / "linked") as (stream, _):
            assert stream.read() == b"a,b\n1,2\n"

    def test_a_day_that_is_a_link_is_refused_wherever_it_leads(self, root):
        put(root, "a.csv")
        (root / "2026-01-02").symlink_to(root / DAY)

        with pytest.raises(UnreadableFile, match="2026-01-02: is a link; expected a folder"):
            list_landed(root, "2026-01-02")

    def test_a_file_or_a_pipe_in_place_of_the_folder_is_refused(self, root):
        (root / "2026-01-02").write_text("")
        os.mkfifo(root / "2026-01-03")

        for day, kind in (("2026-01-02", "a file"), ("2026-01-03", "a pipe")):
            with pytest.raises(UnreadableFile, match=f"{day}: is {kind}; expected a folder"):
                list_landed(root, day)
        with pytest.raises(UnreadableFile, match="expected a folder"):
            list_landed(root / "2026-01-02")

    def test_a_name_that_is_not_utf8_is_refused_in_letters_that_can_be_printed(self, root):
        put(root, os.fsdecode(b"Kunden-M\xe4rz.csv"))

        with pytest.raises(UnreadableFile) as caught:
            list_landed(root, DAY)

        assert str(caught.value) == r"Kunden-M\xe4rz.csv: the name is not UTF-8; rename the file."

    def test_hidden_files_and_companions_may_be_named_as_they_like(self, root):
        for name in (b".M\xe4rz.csv", b"M\xe4rz.csv.md5"):
            put(root, os.fsdecode(name))

        assert list_landed(root, DAY).companions.keys() == {r".M\xe4rz.csv", r"M\xe4rz.csv.md5"}


class TestOpening:
    """Each kind is refused at once: a test that reads a pipe or a device would not come to an end."""

    def special(self, root, kind, tmp_path):
        path = root / DAY / "x.csv"
        outside = tmp_path / "outside.csv"
        outside.write_text("a,b\nsecret-cell,2\n")
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            # A path of a socket may have 108 characters.
            os.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        elif kind == "a folder":
            path.mkdir()
        else:
            target = {"a link": outside, "a link to a device": "/dev/zero", "a link to nothing": root / "gone.csv"}[
                kind
            ]
            path.symlink_to(target)
        return path

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize(
        "kind", ["a pipe", "a socket", "a folder", "a link", "a link to a device", "a link to nothing"]
    )
    def test_what_is_no_file_is_refused_with_its_kind(self, root, kind, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = self.special(root, kind, tmp_path)

        with pytest.raises(UnreadableFile) as caught:
            read_file(path)

        assert str(caught.value).startswith(f"x.csv: is {' '.join(kind.split()[:2])}; ")
        assert caught.value.__cause__ is None

    @pytest.mark.timeout(20)
    def test_a_device_is_refused_by_whoever_names_it_too(self):
        for follow_links in (True, False):
            with (
                pytest.raises(UnreadableFile, match="zero: is a device"),
                open_regular(Path("/dev/zero"), follow_links=follow_links),
            ):
                pass

    @pytest.mark.timeout(20)
    def test_a_pipe_is_not_opened_so_whoever_writes_into_it_goes_on_waiting(self, root):
        path = root / DAY / "x.csv"
        os.mkfifo(path)

        for ask in (read_file, sha256_of):
            with pytest.raises(UnreadableFile, match="is a pipe"):
                ask(path)
        with pytest.raises(OSError, match="No such device or address"):  # there is no reader
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("place", ["file", "folder"])
    @pytest.mark.parametrize("kind", ["a pipe", "a link"])
    def test_what_takes_the_place_of_a_file_after_it_was_examined_is_refused(
        self, root, tmp_path, monkeypatch, place, kind
    ):
        path = put(root, "a.csv")
        replaced = path if place == "file" else path.parent
        outside = tmp_path / "outside"
        examine = os.stat

        def examine_and_replace(name, **options):
            status = examine(name, **options)
            if name == replaced.name and not outside.exists():
                replaced.rename(outside)
                if kind == "a pipe":
                    os.mkfifo(replaced)
                else:
                    replaced.symlink_to(outside)
            return status

        monkeypatch.setattr(os, "stat", examine_and_replace)
        # Whichever check finds it: a pipe that is opened with care can be examined, a link is not opened at all.
        words = "a.csv: is a pipe" if (place, kind) == ("file", "a pipe") else "a.csv: cannot be read: "
        with pytest.raises(UnreadableFile, match=words), open_regular(path, root=root):
            pass

    def test_a_folder_on_the_way_that_became_a_link_is_not_followed(self, root, tmp_path):
        path = put(root, "a.csv")
        assert list_landed(root, DAY).files == (path,)
        (root / DAY).rename(tmp_path / "elsewhere")
        (root / DAY).symlink_to(tmp_path / "elsewhere")

        with pytest.raises(UnreadableFile, match=f"{DAY}: is a link"), open_regular(path, root=root):
            pass

    def test_a_file_that_a_person_names_may_be_a_link(self, root, tmp_path):
        put(root, "a.csv")
        (tmp_path / "linked.csv").symlink_to(root / DAY / "a.csv")

        with open_regular(tmp_path / "linked.csv", follow_links=True) as (stream, size):
            assert len(stream.read()) == size

    def test_a_file_that_is_gone_is_not_there(self, root):
        with pytest.raises(NotThere, match=r"gone\.csv is not in .*; expected a CSV or Parquet file"):
            read_file(root / DAY / "gone.csv")
