"""Settings: their fields, and the recurrent cells by name."""
