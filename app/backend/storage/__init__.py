"""The SQLite side: `database` owns the connections, `schema` the tables, the other modules are plain functions over
them.

Invariant: importing it takes no more than it needs. sqlite-utils imports pandas and numpy where they are installed
(Gradio brings them along): a second of every start, for types that we never store. Here it finds none.
"""

import sys

_UNUSED = ("pandas", "numpy")

if not {"sqlite_utils", *_UNUSED} & set(sys.modules):
    sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]
    try:
        import sqlite_utils as _sqlite_utils  # noqa: F401
    finally:
        for _name in _UNUSED:
            del sys.modules[_name]
