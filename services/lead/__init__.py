"""Finds out what a new contact wants, and asks the arbiter for the bot that can help."""
