"""Video that is watched while it happens: cameras, servers, pipes, and files at their own pace."""
