"""A sparse float64 matrix in compressed rows: most of a compiled transformer's weights are 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.errors import InternalError


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Rows of (column, value) pairs: row i is `columns[starts[i]:starts[i+1]]` and its values.

    Columns rise within a row and no stored value is 0, so equal matrices have equal arrays.
    """

    shape: tuple[int, int]
    starts: Int64[np.ndarray, " rows_and_one"]
    columns: Int64[np.ndarray, " nonzeros"]
    values: Float64[np.ndarray, " nonzeros"]

    @staticmethod
    def from_entries(shape: tuple[int, int], entries: Iterable[tuple[int, int, float]]) -> Matrix:
        """Return the matrix with these (row, column, value) entries; equal places add up."""
        rows, columns, values = tuple(zip(*entries, strict=True)) or ((), (), ())
        return Matrix.from_columns(shape, rows, columns, values)

    @staticmethod
    def from_columns(
        shape: tuple[int, int],
        rows: Sequence[int],
        columns: Sequence[int],
        values: Sequence[float],
    ) -> Matrix:
        """Return the matrix of `from_entries`, given all rows, all columns and all values.

        Raises:
            InternalError: an entry lies outside the matrix.
        """
        at_rows, at_columns = np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)
        given = np.array(values, dtype=np.float64)
        if len(given) == 0:
            return Matrix(shape, np.zeros(shape[0] + 1, dtype=np.int64), at_columns, given)
        # unsigned, a negative number is a great one: one comparison bounds it on both sides
        if at_rows.view(np.uint64).max() >= shape[0]:
            raise InternalError(f"a row lies outside a matrix of shape {shape}")
        if at_columns.view(np.uint64).max() >= shape[1]:
            raise InternalError(f"a column lies outside a matrix of shape {shape}")
        places = at_rows * shape[1] + at_columns
        order = places.argsort(kind="stable")
        places, sums = places[order], given[order]
        if (places[1:] == places[:-1]).any():
            places, back = np.unique(places, return_inverse=True)
            sums = np.zeros(len(places))
            np.add.at(sums, back, given[order])
        if not sums.all():
            places, sums = places[sums != 0], sums[sums != 0]
        starts = places.searchsorted(np.arange(shape[0] + 1, dtype=np.int64) * shape[1])
        return Matrix(shape, starts, places % shape[1], sums)

    @staticmethod
    def from_dense(dense: Float64[np.ndarray, "rows columns"]) -> Matrix:
        """Return the matrix that holds a dense array's nonzero values."""
        rows, columns = np.nonzero(dense)
        starts = np.zeros(dense.shape[0] + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=dense.shape[0]), out=starts[1:])
        shape = (dense.shape[0], dense.shape[1])
        return Matrix(shape, starts, columns.astype(np.int64), dense[rows, columns])

    def dense(self) -> Float64[np.ndarray, "rows columns"]:
        """Return the same matrix as a dense array."""
        full = np.zeros(self.shape)
        full[self.rows(), self.columns] = self.values
        return full

    def rows(self) -> Int64[np.ndarray, " nonzeros"]:
        """Return the row of each stored value."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int64), np.diff(self.starts))

    def transposed(self) -> Matrix:
        """Return the transpose."""
        rows = self.rows()
        order = np.lexsort((rows, self.columns))
        starts = np.zeros(self.shape[1] + 1, dtype=np.int64)
        np.cumsum(np.bincount(self.columns, minlength=self.shape[1]), out=starts[1:])
        return Matrix((self.shape[1], self.shape[0]), starts, rows[order], self.values[order])

    def row(self, number: int) -> list[tuple[int, float]]:
        """Return one row's (column, value) pairs."""
        part = slice(self.starts[number], self.starts[number + 1])
        pairs = zip(self.columns[part], self.values[part], strict=True)
        return [(int(column), float(value)) for column, value in pairs]

    @property
    def nonzeros(self) -> int:
        """How many values are stored."""
        return len(self.values)

    @property
    def size(self) -> int:
        """How many entries the dense matrix has."""
        return self.shape[0] * self.shape[1]
