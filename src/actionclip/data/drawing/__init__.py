"""In which order clips are drawn, and which are left to test on."""
