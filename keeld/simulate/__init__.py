"""A site that is not there: real protocols on loopback, driven by a model of its power, heat and machines."""
