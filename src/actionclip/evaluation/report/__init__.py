"""What a test leaves behind: files to read on, pictures, and comparisons of two of them."""
