"""When something happens in a long video: segments with labels, and every way to show them."""
