"""What ActionCLIP adds around CLIP: sentences for labels, time for pictures (paper 3.2, 3.3)."""
