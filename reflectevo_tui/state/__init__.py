"""What the screens show and remember: snapshots, readers, sessions, forms. No widgets."""
