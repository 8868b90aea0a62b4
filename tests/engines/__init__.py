"""The engines: what is held to the plain walk."""
