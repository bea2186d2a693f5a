"""Finds out what somebody who wants to buy a home is looking for."""
