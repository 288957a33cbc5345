"""Accounts: who may come in, by password, session or key."""
