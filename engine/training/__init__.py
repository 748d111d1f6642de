"""From curated rows to the next policy: examples, their stages, training with TRL, the policy on disk.

`train.train` is the one entry; `build_examples`, `row_kinds`, `examples`, `held_out` and `request` are pure. Importing
this package loads no torch. Only `load_examples` and `example_tokens` know the database; nothing in it knows the
supervisor or the screens.
"""
