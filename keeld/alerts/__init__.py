"""When a budget is exceeded or cannot be judged: rules, states, what holds back what, and the words. Pure."""
