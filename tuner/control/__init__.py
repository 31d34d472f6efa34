"""Pure decisions: what to try next, and what to do with a trial after an epoch. No disk, no processes, no clock."""
