"""State of the screens: snapshots, readers, review sessions, forms. No widgets."""
