"""What stands behind the routes: one model for all requests, and what is kept of videos."""
