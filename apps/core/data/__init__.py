"""Where data lies, how it is read, and in which order."""
