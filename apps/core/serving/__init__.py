"""Exports, the server that loads them, and a client of it."""
