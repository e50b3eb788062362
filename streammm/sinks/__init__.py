"""Sinks: where rows and quarantined sources go."""
