"""The command ``lwsam``."""
