"""From curated rows to the next policy: examples, their stages, training with TRL, the policy on disk.

`launch.train` is the one entry; `from_curated`, `examples`, `leaks`, `held_out` and `request` are pure. Importing this
package loads no torch. Only `inspect` knows the database; nothing in it knows the supervisor or the screens.
"""
