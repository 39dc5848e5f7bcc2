"""What a request holds: pictures and texts, decoded in the graph."""
