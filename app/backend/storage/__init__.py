"""The SQLite side: `database` owns the connections, `schema` the tables, the other modules are plain functions over
them.

Invariant: importing it takes no more than it needs. sqlite-utils imports pandas where that is installed (Gradio brings
it along): a second of every start, for one type that we never store. Here it finds none.
"""

import sys

if "pandas" not in sys.modules and "sqlite_utils" not in sys.modules:
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        import sqlite_utils as _sqlite_utils  # noqa: F401
    finally:
        del sys.modules["pandas"]
