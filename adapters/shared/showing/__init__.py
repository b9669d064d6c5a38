"""What people see of runs, entries and plans, in words and figures, whichever way in shows it."""
