"""How good the flags are: recorded traffic whose truth is known, scored, beside what simpler methods would do."""
