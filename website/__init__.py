"""The documentation site: what of it is generated, and how it is built."""
