"""The long-lived supervisor process: applies directives, decides the next step, waits at gates, runs workers."""
