"""A run: its objective, its steps, its loop, and what it leaves on disk."""
