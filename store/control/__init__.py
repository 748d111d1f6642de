"""Communication between terminal and engine: directives, telemetry, liveness, the lock file and takeover."""
