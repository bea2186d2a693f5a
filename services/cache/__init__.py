"""The cache service: the one way to Claude, with memory."""
