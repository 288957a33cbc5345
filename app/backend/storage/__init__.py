"""The SQLite side: `database` owns the connections, `schema` the tables, the other modules are plain functions over
them.
"""
