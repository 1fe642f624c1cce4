"""How much power and heat there is, and how much of that is known: intervals, trees, limits. Pure: time is an argument."""
