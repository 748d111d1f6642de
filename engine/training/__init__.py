"""Training of the next policy on curated rows: examples, stages, training with TRL, the policy directory.

`train.train` is the only entry point; `build_examples`, `row_kinds`, `examples`, `held_out` and `request` are pure.
Importing this package loads no torch. Only `load_examples` and `example_tokens` read the database; nothing in it
imports the supervisor or the screens.
"""
