"""What happened, and how to ask for it: the workspace database shared by the engine and the terminal.

Everything that reads or writes SQL lives in this package. It loads neither torch and its family nor
pandas or numpy, so that the terminal starts at once; sqlite-utils is imported by migrations alone.
"""
