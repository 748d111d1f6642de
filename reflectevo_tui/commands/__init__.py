"""The commands of `reflectevo`, one file a family."""
