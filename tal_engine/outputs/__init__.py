"""What becomes of results: files, pictures, and sinks of live events."""
