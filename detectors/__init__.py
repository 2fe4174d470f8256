"""What is decided: actors and their marks, windows, gates, decisions, calibration. Pure: time comes with the events."""
