"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from dump_commands import names_in

from fastcal.dumps.atomic import destination, new_folders, whole_file, whole_folder, write_whole


def test_a_file_appears_whole_with_the_permissions_of_a_new_one(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "a") as temporary:
            temporary.write_bytes(b"new")
            assert names_in(tmp_path) == [temporary.name]
            assert temporary.name.startswith(".fastcal-")
            assert temporary.name.endswith(".tmp")
    finally:
        os.umask(before)
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def fails(place):
        with place as temporary:
            (temporary / "b" if temporary.is_dir() else temporary).write_bytes(b"half")
            raise error

    for place in (whole_file(tmp_path / "a"), whole_file(tmp_path / "b"), whole_folder(tmp_path / "c")):
        with pytest.raises(type(error)) as caught:
            fails(place)
        if isinstance(error, OSError):
            assert str(caught.value).startswith(str(tmp_path))
            assert str(caught.value).endswith(" cannot be written: No space left on device")
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_what_appears_meanwhile_is_not_replaced_unasked(tmp_path):
    def raced():
        with whole_file(tmp_path / "a", replace=False) as temporary:
            temporary.write_bytes(b"mine")
            (tmp_path / "a").write_bytes(b"another's")

    with pytest.raises(FileExistsError, match="a exists; say --force"):
        raced()
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"another's"


def test_links(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x").write_bytes(b"far")
    (tmp_path / "plain").write_bytes(b"old")
    for name, to in (("near", "plain"), ("away", "far/x"), ("folder", "far"), ("gone", "nothing"), ("loop", "loop")):
        (tmp_path / name).symlink_to(to)
    write_whole(tmp_path / "near", b"new")
    assert (tmp_path / "near").is_symlink()
    assert (tmp_path / "plain").read_bytes() == b"new"
    for name in ("away", "gone", "loop"):
        with pytest.raises(OSError, match=f"{name} is a link to .*, and links to elsewhere are not written through"):
            write_whole(tmp_path / name, b"new")
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", b"new")
    assert (tmp_path / "far" / "x").read_bytes() == b"far"
    (tmp_path / "linked").symlink_to("far")  # a folder on the way is the caller's choice of a folder
    write_whole(tmp_path / "linked" / "x", b"new")
    assert (tmp_path / "far" / "x").read_bytes() == b"new"


def test_places_that_are_none(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        destination(tmp_path)
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        destination(tmp_path / "no" / "a")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FileExistsError, match="say --force"):
        destination(tmp_path / "a", replace=False)
    assert destination(tmp_path / "a") == tmp_path / "a"
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(FileExistsError, match="name a folder that is not there yet"), whole_folder(path):
            pytest.fail("within")
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "no" / "folder"):
        pytest.fail("within")


def test_folders(tmp_path):
    with whole_folder(tmp_path / "new") as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_bytes(b"a")
    assert names_in(tmp_path) == ["new", "new/sub", "new/sub/a"]

    def ends(error):
        with new_folders([tmp_path / "x" / "y", tmp_path / "x" / "z", tmp_path / "new"]):
            assert (tmp_path / "x" / "z").is_dir()
            (tmp_path / "x" / "y" / "kept").write_bytes(b"")
            raise error

    with pytest.raises(KeyboardInterrupt):
        ends(KeyboardInterrupt)
    assert names_in(tmp_path) == ["new", "new/sub", "new/sub/a", "x", "x/y", "x/y/kept"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_devices_are_written_to_as_they_are():
    write_whole(Path("/dev/null"), b"gone")
    with pytest.raises(OSError, match="/dev/full cannot be written: No space left"):
        write_whole(Path("/dev/full"), b"x")
