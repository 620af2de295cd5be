"""Whether an error of any DB-API driver says that there is no such table, and nothing else.

PEP 249 has no name for it: a table that is missing, one that must not be read and a connection that broke come as the
same classes. So the code that the database gives is looked for where each kind of driver keeps it.
"""

from __future__ import annotations

import re
from typing import Literal

Verdict = Literal["absent", "forbidden", "unknown"]

_ABSENT = {"42P01", "42S02", "42704", "3F000", "TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "ORA-00942"}
"""SQLSTATE of PostgreSQL and its kin, of ODBC, MySQL and Snowflake, of Db2, and of a schema that is missing; names of
Trino's errors; Oracle's code."""
_FORBIDDEN = {"42501", "PERMISSION_DENIED"}
"""SQLSTATE of a missing right; name of Trino's error."""

_NUMBERS: dict[str, dict[int, Verdict]] = {
    "MySQLdb": {1146: "absent", 1044: "forbidden", 1142: "forbidden", 1143: "forbidden"},
    "pymysql": {1146: "absent", 1044: "forbidden", 1142: "forbidden", 1143: "forbidden"},
    "pymssql": {208: "absent", 229: "forbidden", 230: "forbidden"},
}
"""Package of a driver that knows numbers only -> number of the error."""

_TEXTS: dict[str, list[tuple[re.Pattern[str], Verdict]]] = {
    "sqlite3": [
        (re.compile(r"no such table|unknown database"), "absent"),
        (re.compile(r"access to .* is prohibited|not authorized"), "forbidden"),
    ],
    "duckdb": [(re.compile(r"Catalog Error: .* does not exist", re.DOTALL), "absent")],
}
"""Package of a driver that has no codes at all -> what its messages say."""


def verdict(error: BaseException) -> Verdict:
    """What the error of a look at a table says: that it is absent, that it must not be read, or something else."""
    codes = set(_codes(error))
    if codes & _ABSENT:
        return "absent"
    if codes & _FORBIDDEN:
        return "forbidden"
    for of in type(error).__mro__:
        package = of.__module__.partition(".")[0].removeprefix("_")
        number = error.args[0] if error.args else None
        if isinstance(number, int) and number in _NUMBERS.get(package, {}):
            return _NUMBERS[package][number]
        for pattern, meaning in _TEXTS.get(package, []):
            if pattern.search(str(error)):
                return meaning
    return "unknown"


def _codes(error: BaseException) -> list[str]:
    """Codes in text, from wherever drivers keep them; pyodbc has the SQLSTATE as first argument."""
    first = error.args[0] if error.args else None
    found = [
        getattr(holder, name, None)
        for holder in (error, first)
        for name in ("sqlstate", "pgcode", "error_name", "full_code")
    ]
    return [code for code in (*found, first) if isinstance(code, str)]
