"""How it flows: transport, stages, publishing, settings, metrics, the command line and the page."""
