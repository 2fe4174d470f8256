"""What is on the wire: events in, flags and verdicts, dead letters; the only parser, and the published documents."""
