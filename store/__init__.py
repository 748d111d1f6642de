"""The workspace: its SQLite database, files and settings, shared by the engine and the terminal.

All SQL is in this package. It imports neither torch and the libraries on top of it nor pandas or numpy, so that the
terminal starts quickly; sqlite-utils is imported by migrations only.
"""
