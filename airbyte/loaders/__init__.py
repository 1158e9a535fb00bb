"""Loaders of what Airbyte has no connector for."""
