"""What the apps share. Import its modules by name: nothing is re-exported here."""
