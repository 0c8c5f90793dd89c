"""Models by name: open_clip's pretrained towers, what there is of them, and `tiny`."""
