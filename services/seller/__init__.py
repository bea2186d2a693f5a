"""Finds out what somebody who wants to sell a home must tell for it."""
