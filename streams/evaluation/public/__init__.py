"""Public data, each set for one ingredient of what decides, our figures beside the published ones."""
