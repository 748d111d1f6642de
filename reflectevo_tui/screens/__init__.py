"""The screens of the terminal application, one per file. They read snapshots and messages and contain no SQL."""
