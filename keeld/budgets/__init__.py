"""How much power and heat there is, and how much of it is known. Pure: time is an argument."""
