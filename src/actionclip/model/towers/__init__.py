"""What the towers do differently from open_clip: short sentences, one token, input of movement."""
