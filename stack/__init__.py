"""The embedded stack: settings, the warehouse client, and start, health and stop of every service without Docker."""
