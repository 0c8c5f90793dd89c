"""Videos and labels become vectors that can be compared: what every use of a model shares."""
