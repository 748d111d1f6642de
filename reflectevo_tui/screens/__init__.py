"""The screens of the terminal application, one a file. They read snapshots and messages, never SQL."""
