"""Everything that touches TRL: arguments, trainers, callback, sampler and prefix sharing."""
