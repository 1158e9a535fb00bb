"""Measurements: programs that time the project's parts against a floor or a peer on the same machine, in the same run. Results are committed as JSON."""
