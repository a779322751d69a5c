"""The rows that a spec's `where` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairtrial.errors import UsageError
from fairtrial.spec.data import Scalar
from fairtrial.warehouse.unit_table import check_column


def filtered(table: Any, where: Mapping[str, Scalar]) -> Any:
    """The rows of `table` that hold the values of `where`.

    Raises:
        UnknownNameError: A column is not there.
        UsageError: A value is of another kind than its column.
    """
    for name, wanted in where.items():
        column = check_column(table, name)
        kind = column.type()
        if kind.is_string():
            text = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
            table = table.filter(column == text)
        elif kind.is_boolean() or kind.is_numeric():
            if isinstance(wanted, str):
                raise UsageError(
                    f"`where` compares like with like: column {name!r} holds {kind}, got {wanted!r}.",
                    hint="Write the value without quotes.",
                )
            table = table.filter(column.cast("int32") == int(wanted) if kind.is_boolean() else column == wanted)
        else:
            table = table.filter(column == str(wanted))
    return table
