"""The gateway: CRM webhooks in, turns to the bots, texts out."""
