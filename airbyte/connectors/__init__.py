"""Programs that speak the Airbyte protocol: `python -m airbyte.connectors.<name> spec|check|discover|read|write`."""
