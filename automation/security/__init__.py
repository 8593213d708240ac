"""Who may do what: tokens, sessions, permissions, secrets."""
