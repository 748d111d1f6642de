"""Integration with TRL: arguments, trainers, callback, sampler and prefix sharing."""
