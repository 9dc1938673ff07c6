"""Data sets of text in TRL's formats, checked, and kept as JSON lines.

The formats are told by their columns: `text`; `prompt`; `prompt` and `completion`; `prompt`, `chosen` and `rejected`.
"""

import json
import os
from pathlib import Path

from datasets import Dataset

TEXTS = ("text", "prompt", "completion", "chosen", "rejected", "first", "second")
PAIRS = (("chosen", "rejected"), ("first", "second"))


def check_rows(dataset: Dataset, name: str = "dataset") -> None:
    """Look at every text of a data set before anything is made of it.

    Raises:
        ValueError: no row at all; a text that is none, or is empty; a pair of equal texts. The row is named.
    """
    if len(dataset) == 0:
        raise ValueError(f"{name} is empty")
    columns = {column: list(dataset[column]) for column in TEXTS if column in dataset.column_names}
    for i in range(len(dataset)):
        problem = _problem({column: values[i] for column, values in columns.items()})
        if problem:
            raise ValueError(f"{name}, row {i}: {problem}")


def check_columns(dataset: Dataset, *columns: str, name: str = "dataset") -> None:
    """Require columns, and texts in them.

    Raises:
        ValueError: a column is missing, or what `check_rows` finds.
    """
    missing = [column for column in columns if column not in dataset.column_names]
    if missing:
        wanted = ", ".join(map(repr, columns))
        raise ValueError(f"{name} must have the columns {wanted}, but has {dataset.column_names}")
    check_rows(dataset, name)


def save_jsonl(dataset: Dataset, path: str | Path) -> None:
    """Write one JSON object per row, whole or not at all.

    Raises:
        ValueError: what `check_rows` finds.
    """
    check_rows(dataset)
    path = Path(path)
    fresh = path.with_name(path.name + ".tmp")
    with open(fresh, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in dataset)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def load_jsonl(path: str | Path) -> Dataset:
    """Read what `save_jsonl` wrote, or anybody else.

    Raises:
        ValueError: there is no such file, or no row in it; a line that is no JSON object, has other columns than the
            first, or holds what `check_rows` refuses. File and line are named.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    rows: list[dict] = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = _row(line, f"{path}, line {number}")
            if rows and row.keys() != rows[0].keys():
                raise ValueError(f"{path}, line {number}: the columns are {list(row)}, but line 1 has {list(rows[0])}")
            rows.append(row)
    if not rows:
        raise ValueError(f"{path} is empty")
    return Dataset.from_list(rows)


def _row(line: str, place: str) -> dict:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place}: this is no JSON ({error}): {line.strip():.60}") from error
    if not isinstance(row, dict) or not row:
        raise ValueError(f"{place}: a row must be a JSON object with columns, but is {line.strip():.60}")
    problem = _problem({column: row[column] for column in TEXTS if column in row})
    if problem:
        raise ValueError(f"{place}: {problem}")
    return row


def _problem(row: dict[str, object]) -> str | None:
    """What is wrong with the texts of a row, or None."""
    for column, text in row.items():
        if not isinstance(text, str):
            return f"{column} must be a text, but is {text!r}"
        if not text.strip():
            return f"{column} is empty: {text!r}"
    for one, other in PAIRS:
        if one in row and other in row and row[one].split() == row[other].split():
            return f"{one} and {other} are the same text, {row[one]!r}: there is nothing to prefer"
    return None
