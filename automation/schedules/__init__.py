"""Events at the times of cron expressions."""
