"""Compiled kernels on disk: never stale, damaged or a stranger's, whole or not there, and not needed."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import JIT

import fastcal
from fastcal import kernels
from fastcal.kernels import jit

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")

CALL = """
import sys; sys.path.insert(0, {path!r})
import numpy as np
from fastcal.kernels import binning, caching
cells = np.zeros((1, 2, 4), np.int64)
table = (np.arange(binning.CELLS + 1) > binning.CELLS // 2).astype(np.uint16)
rows = np.array([0.25, 0.75]), np.array([0, 1], np.uint8)
binning.add(*rows, np.array([0.5, np.inf]), table, 0.0, 1.0, None, cells)
from fastcal.kernels import exact
digits = np.zeros((1, exact.N_LIMBS), np.int64)
exact.add(np.array([1.0, 2.0]), np.empty(0), digits)
counted = sum(cells[0, :, binning.ROWS] & 0xFFFFFFFF)
print(counted, int(digits[0, 33]) >> 18, len(caching.LOADED), len(caching.COMPILED))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, with a cache of its own."""
    shutil.copytree(Path(fastcal.__file__).parent, tmp_path / "fastcal", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def call(package, code=CALL, preexec_fn=None, **environment):
    own = {"NUMBA_CACHE_DIR": str(package / "cache"), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FASTCAL", "NUMBA"))} | own
    code = code.replace("{path!r}", repr(str(package)))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, preexec_fn=preexec_fn
    )
    return [int(word) for word in done.stdout.split()]


def test_an_upgrade_runs_no_stale_code(package):
    assert call(package) == [2, 3, 0, 3]
    # An upgrade changes a helper in another file than the kernel's own, and keeps that file's time and size.
    helper = package / "fastcal" / "kernels" / "exact.py"
    stamp = helper.stat()
    changed = helper.read_text().replace("sign = np.int64(-1) if", "sign = np.int64(-1) if ", 1)
    changed = changed.replace("else np.int64(1)\n    limbs", "else np.int64(2)\n    limbs", 1)
    assert changed != helper.read_text()
    helper.write_text(changed)
    os.utime(helper, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert call(package) == [2, 6, 0, 3], "the helper's change reaches the sum, and every kernel compiles anew"
    assert len(list((package / "cache").rglob("*.kernel"))) == 6, "no two versions take each other's away"


DOUBLE = """
import sys; sys.path.insert(0, {path!r})
import numpy as np
from fastcal.kernels import caching, jit
def double(values):
    for i in range(len(values)):
        values[i] *= 2.0
kernel = jit.kernel(double)
for dtype in ("f8", "f4"):
    values = np.array([1, 2], dtype)
    kernel(values)
    assert values.tolist() == [2, 4]
print(len(caching.LOADED), len(caching.COMPILED))
"""


def permissions_bind():
    """Of root, take away what lets it write where nobody may: in a container, say, whose files are an image's."""
    drop = 24  # PR_CAPBSET_DROP; CAP_DAC_OVERRIDE is 1
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop, 1, 0, 0, 0):
        os._exit(3)


def test_an_image_that_is_read_only_starts_warm_and_its_user_keeps_more_at_home(package):
    environment = {"NUMBA_CACHE_DIR": "", "HOME": str(package / "home"), "XDG_CACHE_HOME": str(package / "home")}
    assert call(package, DOUBLE, **environment) == [0, 2]
    kept = package / "fastcal" / "kernels" / "__pycache__"
    _, one_less = kept.glob("*.kernel")
    one_less.unlink()
    for path in sorted((package / "fastcal").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert call(package, DOUBLE, preexec_fn=permissions_bind, **environment) == [1, 1]
        assert not one_less.exists()
        assert [path.name for path in (package / "home").rglob("*.kernel")] == [one_less.name]
    finally:
        for path in (package / "fastcal").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


AT_ONCE = """
import sys; sys.path.insert(0, {path!r})
import os, time
import numpy as np
from fastcal.kernels import caching, jit
def double(values):
    for i in range(len(values)):
        values[i] *= 2.0
kernel = jit.kernel(double)
kernel(np.array([1], "i2"))  # Numba's own start, once for all
starting = time.time() + 0.2
children = []
for child in range(8):
    pid = os.fork()
    if not pid:
        break
    children.append(pid)
else:
    print(sum(os.waitpid(pid, 0)[1] for pid in children))
    raise SystemExit
time.sleep(max(starting - time.time(), 0))
dtypes = np.roll(["f8", "f4", "i8", "u4", "i4", "u8", "i1", "u2"], child)
for dtype in dtypes[:2]:  # one that no other begins with, and one that another has just begun
    values = np.array([1, 2], dtype)
    kernel(values)
    assert values.tolist() == [2, 4]
os._exit(0)
"""


def test_eight_processes_that_compile_at_once_lose_and_corrupt_nothing(package):
    assert call(package, AT_ONCE) == [0]
    caching = kernels.caching
    found = list(caching.entries(package / "cache" / "fastcal"))
    assert [path.suffix for path, _ in found] == [caching.SUFFIX] * 9, "an entry a signature, and nothing unfinished"
    assert len({made.signature for _, made in found}) == 9
    assert all(caching._read(path.parent, path.name) for path, _ in found)


# In this process: a kernel of a few instructions, and a folder of its own


def double(values):
    for i in range(len(values)):
        values[i] *= 2.0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels.caching, "folders", lambda: (tmp_path / "kept",))
    monkeypatch.setattr(kernels.caching, "is_enabled", lambda: True)
    return tmp_path / "kept"


def compiles(dtype="f8"):
    """How many kernels a fresh dispatcher compiles for a call, which has to be right."""
    before = len(kernels.caching.COMPILED)
    values = np.array([1.0, 2.0], dtype)
    jit.kernel(double)(values)
    assert values.tolist() == [2.0, 4.0]
    return len(kernels.caching.COMPILED) - before


def test_an_entry_tells_what_it_is_without_being_run(folder):
    assert [compiles(), compiles(), compiles("f4"), compiles("f4")] == [1, 0, 1, 0]
    made = {made.signature: made for _, made in kernels.caching.entries(folder)}
    assert len(made) == 2
    one = made["(Array(float64, 1, 'C', False, aligned=True),)"]
    assert (one.kernel, one.is_stale) == ("test_cache.double", False)
    assert 0 < one.seconds < 60
    (path,) = (path for path, found in kernels.caching.entries(folder) if found == one)
    _, told, code = path.read_bytes().split(b"\n", 2)
    assert len(code) == one.bytes
    assert json.loads(told)["stamp"] == kernels.caching.fingerprint()


def test_another_processor_or_its_features_make_another_entry(folder, monkeypatch):
    class Codegen:
        def __init__(self, *target):
            self.magic_tuple = lambda: target

    cache = kernels.caching.KernelCache(double)
    targets = [
        ("linux", "znver4", "+avx"),
        ("linux", "znver4", "-avx"),
        ("linux", "generic", "+avx"),
        ("mac", "znver4", "+avx"),
    ]
    named = [cache._entry(("int64",), Codegen(*target)) for target in targets]
    assert len({name for name, _ in named}) == 4
    assert [processor for _, processor in named] == ["znver4", "znver4", "generic", "znver4"]
    assert cache._entry(("int64",), Codegen(*targets[0])) == named[0] != cache._entry(("int32",), Codegen(*targets[0]))
    for setting in kernels.caching.SETTINGS:  # of Numba, such as NUMBA_OPT=0
        with monkeypatch.context() as other:
            other.setattr(kernels.caching.numba.config, setting, "other")
            assert cache._entry(("int64",), Codegen(*targets[0]))[0] not in {name for name, _ in named}


def test_no_folder_to_keep_anything_in_is_no_failure(folder, monkeypatch):
    folder.write_text("")  # a file in the way: not even root can make what would be below it
    assert [compiles(), compiles()] == [1, 1]
    assert jit.kernel(double).stats.cache_path is None
    monkeypatch.setattr(kernels.caching, "folders", lambda: (folder, folder.with_name("other")))
    assert [compiles(), compiles()] == [1, 0], "the next one that takes it"
    assert jit.kernel(double).stats.cache_path == str(folder.with_name("other"))


def test_a_cache_that_is_switched_off_is_neither_read_nor_written(folder, monkeypatch):
    compiles()
    monkeypatch.setattr(kernels.caching, "is_enabled", lambda: False)
    values = np.array([1.0])
    jit.kernel(double)(values)
    assert (values[0], jit.kernel(double).stats.cache_path) == (2.0, None)


def damaged(data):
    line = data.index(b"\n", data.index(b"\n") + 1)
    yield from (data[:cut] for cut in (0, 1, line, line + 1, line + 9, len(data) - 1))
    for place in (0, 3, line, line + 1, len(data) // 2, len(data) - 1):
        yield data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :]
    yield data + b"\0"
    yield b"[]\n" + data
    yield b"\0" * len(data)


def test_damaged_entries_are_compiled_anew_and_mended(folder):
    compiles()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    for number, bad in enumerate(damaged(whole)):
        path.write_bytes(bad)
        assert kernels.caching._read(folder, path.name) is None, number
    assert [compiles(), compiles()] == [1, 0]
    assert kernels.caching._read(folder, path.name) is not None


def test_an_entry_that_is_whole_but_another_numbas_is_compiled_anew(folder):
    compiles()
    (path,) = folder.iterdir()
    ((_, made),) = kernels.caching.entries(folder)
    for code in (b"no pickle", b"(I1\nI2\nt."):
        assert kernels.caching._write(folder, path.name, made, code)
        assert [compiles(), compiles()] == [1, 0]


def test_a_full_disk_keeps_nothing_and_stops_nothing(folder):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        assert compiles() == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []
    assert [compiles(), compiles()] == [1, 0]


def test_pruning_leaves_what_is_used_or_under_way(folder):
    compiles()
    (kept,) = folder.iterdir()
    ((_, made),) = kernels.caching.entries(folder)
    old, other = vars(made) | {"stamp": "0"}, vars(made) | {"numba": "0.1"}
    for name, entry in (("old", old), ("other", other)):
        assert kernels.caching._write(folder, f"{name}.kernel", kernels.caching.Made(**entry), b"x")
    for name in ("numbas.nbi", "numbas.1.nbc", "under.unfinished", "left.unfinished", "users.txt"):
        (folder / name).write_bytes(b"x")
    long_ago = time.time() - 2 * kernels.caching.LONGEST
    os.utime(folder / "left.unfinished", (long_ago, long_ago))
    assert kernels.caching.prune(folder) == 3
    assert not {"old.kernel", "numbas.nbi", "numbas.1.nbc"} & {path.name for path in folder.iterdir()}
    assert kernels.caching.prune(folder, others=True) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted([kept.name, "under.unfinished", "users.txt"])
    assert kernels.caching.prune(folder / "none") == 0
    assert compiles() == 0


def test_beside_the_source_the_first_entry_clears_away_those_of_another_source(folder, monkeypatch):
    folder.mkdir()
    (folder / "numbas.nbi").write_bytes(b"x")
    monkeypatch.setattr(kernels.caching, "IN_TREE", folder)
    kernels.caching._tidy.cache_clear()
    compiles()
    assert len(list(folder.iterdir())) == 1


# Who may put code there


@contextlib.contextmanager
def named(monkeypatch, **environment):
    kernels.caching.folders.cache_clear()
    for name in ("FASTCAL_CACHE_DIR", "NUMBA_CACHE_DIR", "FASTCAL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield
    monkeypatch.undo()
    kernels.caching.folders.cache_clear()


def test_folders_by_what_names_them(tmp_path, monkeypatch):
    ours, numbas, home = (tmp_path / name for name in ("ours", "numbas", "home"))
    with named(monkeypatch, FASTCAL_CACHE_DIR=str(ours), NUMBA_CACHE_DIR=str(numbas)):
        assert kernels.caching.folders() == (ours,)
    with named(monkeypatch, NUMBA_CACHE_DIR=str(numbas)):
        assert kernels.caching.folders() == (numbas / "fastcal",)
    with named(monkeypatch, XDG_CACHE_HOME=str(home)):
        assert kernels.caching.folders()[0] == Path(kernels.__file__).parent / "__pycache__"
        if sys.platform == "linux":
            assert kernels.caching.folders()[1:] == (home / "fastcal",)
    with named(monkeypatch, XDG_CACHE_HOME="relative"):  # and "~" where nobody is at home
        assert kernels.caching.folders()[1:] == ()
    with named(monkeypatch, FASTCAL_CACHE="off"):
        assert kernels.caching.folders() == ()


def test_a_folder_that_anybody_may_write_to_is_not_used(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with named(monkeypatch, FASTCAL_CACHE_DIR=str(shared / "below")):
        with pytest.warns(RuntimeWarning, match=f"anybody may write to {shared}: chmod o-w"):
            assert kernels.caching.folders() == ()
        shared.chmod(0o1777)  # like /tmp: others cannot put theirs into the place of ours
        kernels.caching.folders.cache_clear()
        assert kernels.caching.folders() == (shared / "below",)
    shared.chmod(0o777)
    with named(monkeypatch, FASTCAL_CACHE_DIR=str(shared), FASTCAL_CACHE="trust"):
        assert kernels.caching.folders() == (shared,)


def test_in_a_folder_like_tmp_a_strangers_entry_is_not_run(folder, monkeypatch):
    compiles()
    (path,) = folder.iterdir()
    strangers = os.stat_result((*path.stat()[:4], os.getuid() + 4242, *path.stat()[5:]))
    assert kernels.caching._is_trusted(strangers, folder), "nobody but those whom the owner lets may write here"
    folder.chmod(0o1777)
    assert not kernels.caching._is_trusted(strangers, folder)
    assert kernels.caching._is_trusted(path.stat(), folder)
    monkeypatch.setattr(kernels.caching.os, "fstat", lambda _: strangers)
    assert kernels.caching._read(folder, path.name) is None


def test_what_a_closure_closes_over_is_not_kept():
    """Its name, its file and its code are those of others."""

    def filled(number):
        @jit.kernel
        def fill(values):
            for i in range(len(values)):
                values[i] = number

        return fill

    for number in (1.0, 2.0):
        values = np.zeros(2)
        filled(number)(values)
        assert values.tolist() == [number, number]
