"""Workflows: definitions checked and compiled, executions run so that nothing is lost."""
