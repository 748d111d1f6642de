"""Commands of `reflectevo`, one module per group of commands."""
