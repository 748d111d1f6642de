"""From curated rows to the next policy: examples, LoRA training with TRL, the policy on disk.

`launch.train` is the one entry; `examples` is pure. Importing this package loads no torch. Nothing in it knows
the database, the supervisor or the screens.
"""
