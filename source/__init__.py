"""The marketplace itself: its schema, a deterministic generator, and business days that change it. The pipeline imports nothing from here."""
