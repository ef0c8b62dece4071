"""Rows to a .npz archive, a folder of .npy files, or a .safetensors file.

How many rows there are stands before them, and is known at the end only. Arrays are written to files of their own,
beside the one that is made of them, with a header that has room for any number and is written last.
"""

from __future__ import annotations

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .adding_numpy import copy_bytes, little, tensor, write_tensor_header
from .batches import DumpError
from .writing import Columns, Settings, Sink

HEADER = 256  # bytes of a .npy header with room for 20 digits of rows
MAX_TEXT = 1 << 10  # characters of the longest slice: NumPy gives as many to each


class _ArrayFile:
    """A .npy file of rows one after the other."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.path = path
        self.dtype = dtype.newbyteorder("<") if dtype.kind not in "OU" else None  # of text the longest decides
        self._shape = shape
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close
        self._file.seek(HEADER)
        self._texts: list[tuple[int, int]] = []  # rows of a block of text, and characters of each
        self.n_rows = 0

    def write(self, values: Array) -> None:
        """Add rows."""
        self.n_rows += len(values)
        if self.dtype is None:
            values = values.astype(np.str_)
            self._texts.append((len(values), values.dtype.itemsize // 4))
            if self._texts[-1][1] > MAX_TEXT:
                raise DumpError(f"a slice's name has {self._texts[-1][1]} characters; .npy holds up to {MAX_TEXT}")
        self._file.write(little(values).reshape(-1).view(np.uint8).data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all rows."""
        return (self.n_rows, *self._shape)

    def finish(self) -> None:
        """Write the header; text once more, every row as long as the longest."""
        if self.dtype is None:
            self._widen()
        header = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {self.shape}, }}"  # type: ignore[union-attr]
        room = HEADER - 10
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + header.ljust(room - 1).encode() + b"\n")
        self._file.close()

    def _widen(self) -> None:
        self._file.close()
        narrow = self.path.with_suffix(".text")
        self.path.replace(narrow)
        self.dtype = np.dtype(f"<U{max(width for _, width in self._texts)}")
        self._file = open(self.path, "wb")  # noqa: SIM115
        self._file.seek(HEADER)
        with open(narrow, "rb") as source:
            source.seek(HEADER)
            for n, width in self._texts:
                values = np.frombuffer(source.read(4 * n * width), f"<U{width}")
                self._file.write(values.astype(self.dtype).view(np.uint8).data)
        narrow.unlink()

    def close(self) -> None:
        """Let go of the file; finished, it is closed already, and what a full disk did not take is not missed."""
        with suppress(OSError):
            self._file.close()


class FolderSink(Sink):
    """A folder of logits.npy or probs.npy, labels.npy and what else there is."""

    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        self._scores = settings.scores
        shapes = {settings.scores: first.scores, **dict(first.others())}
        self.files = {
            name: _ArrayFile(path / f"{name}.npy", values.dtype, values.shape[1:]) for name, values in shapes.items()
        }

    def write(self, rows: Columns) -> None:
        """See :meth:`Sink.write`."""
        self.files[self._scores].write(rows.scores)
        for name, values in rows.others():
            self.files[name].write(values)

    def finish(self) -> None:
        """See :meth:`Sink.finish`."""
        for file in self.files.values():
            file.finish()

    def close(self) -> None:
        """See :meth:`Sink.close`."""
        for file in self.files.values():
            file.close()


class _Spooled(FolderSink):
    """Arrays in a folder beside the file, of which it is then made."""

    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        self._path = path
        self._folder = path.with_suffix(".arrays.tmp")
        self._folder.mkdir()
        self.files = {}
        try:
            super().__init__(self._folder, suffix, first, settings)
        except BaseException:
            self.close()
            raise

    def finish(self) -> None:
        """See :meth:`Sink.finish`."""
        super().finish()
        self._join()

    def _join(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """See :meth:`Sink.close`."""
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)


class ArchiveSink(_Spooled):
    """A .npz archive, stored as it is: rows are then found without inflating those before."""

    def _join(self) -> None:
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            for name, array in self.files.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # of no date: the same rows give the same bytes
                with archive.open(member, "w", force_zip64=True) as file, open(array.path, "rb") as source:
                    copy_bytes(source, file, array.path.stat().st_size, str(array.path))
                array.path.unlink()


class TensorSink(_Spooled):
    """A .safetensors file: numbers only."""

    def __init__(self, path: Path, suffix: str, first: Columns, settings: Settings) -> None:
        if first.groups is not None and first.groups.dtype.kind in "OU":
            raise DumpError(f"slices are text, and {suffix} holds numbers only; convert to .parquet or .npz")
        super().__init__(path, suffix, first, settings)

    def _join(self) -> None:
        header, end = {}, 0
        for name, array in self.files.items():
            header[name] = tensor(array.dtype, array.shape, end)  # type: ignore[arg-type]
            end = header[name]["data_offsets"][1]
        with open(self._path, "wb") as file:
            write_tensor_header(file, header)
            for array in self.files.values():
                with open(array.path, "rb") as source:
                    source.seek(HEADER)
                    copy_bytes(source, file, array.path.stat().st_size - HEADER, str(array.path))
                array.path.unlink()


SINKS: dict[str, type[Sink]] = {".npz": ArchiveSink, ".safetensors": TensorSink, ".npy": FolderSink}
