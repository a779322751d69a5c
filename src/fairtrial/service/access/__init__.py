"""Who calls, what they may do and how often: roles, API keys, bearer tokens, limits."""
