"""Parquet files with a column of pictures, as unlabelled images.

The column holds the picture files' bytes, or structs of `bytes` and `path` as Hugging Face's
datasets store their images; there, bytes may be missing where only the path was kept.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from shards.folder import checked, distinct_keys
from shards.sample import BadSample, Sample, Source, key_of
from zeroseg.errors import InputError
from zeroseg.store.storage import is_file, join, list_files, open_file

ROWS_AT_A_TIME = 64
"""Held in memory together; a row group may hold a whole file."""


@dataclass(frozen=True)
class Parquet:
    """Pictures in a column of one `.parquet` file, or of all in a folder."""

    tables: str
    """File, folder or URL."""
    column: str | None = None
    """The pictures; needed only where several columns can hold pictures."""

    def source(self) -> Source:
        """A unit is a row group, (path below the root, its number); a key is the file's path without
        suffix, `-`, and the row's number in the file in 8 digits.

        Raises InputError when there is no file or row, a file cannot be read, the column is not
        there or not one that can be, or pyarrow is not installed.
        """
        if is_file(self.tables):
            paths = [self.tables.rpartition("/")[2]]
            root = self.tables.removesuffix(paths[0]) or "."
        else:
            root, paths = self.tables, [path for path, _ in list_files(self.tables, {".parquet"})]
        if not paths:
            raise InputError(f"no .parquet below {self.tables}: check the folder")
        distinct_keys(root, paths)
        units: list[tuple[str, int]] = []
        chosen = self.column
        for path in paths:
            with _table(join(root, path)) as table:
                chosen = _column(join(root, path), table.schema_arrow, chosen)
                rows = _rows(table)
                units += [(path, group) for group in range(len(rows)) if rows[group]]
        if not units or chosen is None:
            raise InputError(f"no row in any .parquet below {self.tables}: check the source")
        return Source(
            units=units,
            read=partial(read, root, chosen),
            images_per_unit=None,
            built_from={"kind": "parquet", "source": self.tables, "column": chosen},
        )


def read(root: str, column: str, unit: tuple[str, int]) -> Iterator[Sample | BadSample]:
    """The images of one row group (path below the root, its number).

    A row without bytes is a BadSample, and so is, once, all that a damaged row group still held.
    """
    path, group = unit
    url = join(root, path)
    with _table(url) as table:
        row = sum(_rows(table)[:group])
        try:
            for value in _values(table, group, column):
                name = f"{url}, row {row} of column {column}"
                data = value["bytes"] if isinstance(value, dict) else value
                if data is None:
                    yield BadSample(f"{name}: no bytes")
                else:
                    key = f"{key_of(path)}-{row:08d}"
                    yield checked(name, Sample(key, data, source=f"{path}#{row}"))
                row += 1
        except (OSError, ValueError) as error:
            yield BadSample(f"{url}, row {row} and the rest of row group {group}: {error}")


@contextmanager
def _table(url: str) -> Generator[Any]:
    """A pyarrow ParquetFile."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"reading {url} needs pyarrow: run `pip install 'zeroseg[build]'`"
        ) from error
    with open_file(url) as file:
        try:
            table = ParquetFile(file)
        except (OSError, ValueError) as error:
            raise InputError(f"{url} is not a whole Parquet file: {error}") from error
        yield table


def _rows(table: Any) -> list[int]:
    """Of each row group."""
    return [table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)]


def _values(table: Any, group: int, column: str) -> Iterator[Any]:
    batches = table.iter_batches(ROWS_AT_A_TIME, [group], columns=[column], use_threads=False)
    for batch in batches:
        yield from batch.column(column).to_pylist()


def _column(url: str, schema: Any, wanted: str | None) -> str:
    fit = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted in fit:
        return str(wanted)
    if wanted is None and len(fit) == 1:
        return fit[0]
    problem = (
        f"{len(fit)} columns of bytes, choose one with `column`"
        if wanted is None
        else f"no column {wanted!r} of bytes"
    )
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise InputError(f"{url} has {problem}; its columns are {columns}")


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _holds_bytes(kind.field(at).type)
    return types.is_binary(kind) or types.is_large_binary(kind)
