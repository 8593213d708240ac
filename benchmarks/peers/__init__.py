"""Other engines, each in a script that an environment of its own runs: durable workflows, and rules over events."""
