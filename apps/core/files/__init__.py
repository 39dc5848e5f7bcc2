"""Files written whole, locks, and temporary files."""
