"""What is asked of runs and networks: comparisons, costs, traces, sharpness, pictures."""
