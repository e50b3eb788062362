"""Media: a file in, Segments out, on one clock."""
