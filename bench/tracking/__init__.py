"""Speed tracked as a ratio to a yardstick: what `make bench-check` is made of."""
