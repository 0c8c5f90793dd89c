"""How much a score can be believed: temperature, "none of these", sets with a stated coverage."""
