"""What the tests share: strategies, stand-ins, oracles, ways to start ranks."""
