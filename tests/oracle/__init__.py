"""The same mathematics once more, in PyTorch and from the papers: `make test-oracle`."""
