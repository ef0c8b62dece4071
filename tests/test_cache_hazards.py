"""Compiled kernels on disk beside signals and strangers."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from conftest import JIT
from test_cache import compiles, double

from fastcal import kernels
from fastcal.kernels import jit

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels.caching, "folders", lambda: (tmp_path / "kept",))
    monkeypatch.setattr(kernels.caching, "is_enabled", lambda: True)
    return tmp_path / "kept"


@pytest.mark.parametrize("moment", ["load_overload", "save_overload"])
def test_ctrl_c_waits_for_the_kernel_under_way(folder, monkeypatch, moment):
    """In LLVM's callbacks it would be lost, and the kernel's code with it."""
    usual = getattr(kernels.caching.KernelCache, moment)

    def interrupted(cache, *given):
        signal.raise_signal(signal.SIGINT)
        return usual(cache, *given)

    monkeypatch.setattr(kernels.caching.KernelCache, moment, interrupted)
    kernel, handler = jit.kernel(double), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        kernel(np.array([1.0]))
    assert (len(kernel.signatures), len(list(folder.iterdir()))) == (1, 1)
    assert signal.getsignal(signal.SIGINT) is handler
    kernel(np.array([1.0]))  # which is there
    monkeypatch.undo()


def test_below_a_folder_like_tmp_one_that_a_stranger_made_is_not_used(folder, monkeypatch):
    compiles()
    ((path, _),) = kernels.caching.entries(folder)
    strangers, ours = folder.stat().st_ino, kernels.caching._is_ours
    monkeypatch.setattr(kernels.caching, "_is_ours", lambda status: status.st_ino != strangers and ours(status))
    folder.parent.chmod(0o1777)
    assert kernels.caching._read(folder, path.name) is None, "made since we looked"
    for name in (folder, folder / "below", folder / ".." / folder.name):
        with pytest.warns(RuntimeWarning, match=f"because {folder} is another user's: name a folder of your own"):
            assert not kernels.caching._is_safe(name)
    link = folder.parent.parent / f"link to {folder.parent.name}"
    link.symlink_to(folder)
    with pytest.warns(RuntimeWarning, match=f"because {folder} is another user's"):
        assert not kernels.caching._is_safe(link)
    monkeypatch.setattr(kernels.caching, "_is_ours", ours)
    assert kernels.caching._is_safe(link)
    assert kernels.caching._read(folder, path.name) is not None
