"""The arbiter: decides whether a contact may move to another bot, and moves it."""
