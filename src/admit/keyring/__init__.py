"""Which key, when; and how private keys lie at rest. Pure: no I/O, `now` is an argument."""
