"""The long-lived process: obeys directives, decides the next step, waits at gates and supervises child processes."""
