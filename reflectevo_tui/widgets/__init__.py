"""The widgets of the screens, one per file. They display the values passed to them and access no database."""
