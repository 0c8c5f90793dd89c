"""HTTP itself: addresses, who may ask, the page's files, the reference."""
