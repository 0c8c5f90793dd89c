"""HTTP: the same questions and answers as in Python, for other programs and for the page."""
