"""What benchmarks measure and refuse to measure."""
