"""A one-dimensional .npy file that is written piece by piece, so that an array larger than memory can be made."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class GrowingArray:
    """A context manager: `add` appends values of one dtype; the header gets the final length at the end.

    numpy pads the header so that a longer length fits into the same bytes, which is what makes rewriting it safe.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype), 0

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._header()
        self._start = self._file.tell()
        return self

    def add(self, values: NDArray[Any]) -> None:
        """Append `values`, converted to the dtype of the file."""
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def __exit__(self, *_: object) -> None:
        try:
            self._file.seek(0)
            self._header()
            assert self._file.tell() == self._start, "numpy changed the length of its header"
        finally:
            self._file.close()

    def _header(self) -> None:
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, header)
