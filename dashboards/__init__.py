"""The dashboard: a static page built from the marts. `make dashboard` builds and serves it; docs/dashboard.md says what it shows."""
