"""Authored conversations, and the check that a bot understands them."""
