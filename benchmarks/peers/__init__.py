"""Other engines for durable workflows, each in a script that an environment of its own runs: the same three steps."""
