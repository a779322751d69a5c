"""Who calls and what they may do: roles, API keys, bearer tokens."""
