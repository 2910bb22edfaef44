"""Who calls, and what they may do: access keys, policies, decisions."""
