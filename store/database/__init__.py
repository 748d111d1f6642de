"""The SQLite database: connection, schema, migrations, rows, bulk writes, repair."""
