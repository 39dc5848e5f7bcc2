"""Language models: carried state, scoring, streaming."""
