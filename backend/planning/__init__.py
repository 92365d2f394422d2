"""plan(): from what the user asked and what is known, to what will happen and why."""
