"""Runs what `make bench` runs, and writes bench/RESULTS.md."""

from bench.walk import main

if __name__ == "__main__":
    main(["--write"])
