"""What ranks do in the tests, and how what they found comes back."""
