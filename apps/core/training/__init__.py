"""Training that can be interrupted, on one device or several."""
