"""A run as it goes, for people who watch it: on a local page, through an HTTP API, and on the terminal."""
