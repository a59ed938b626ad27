"""What the report page shows, how it is drawn, and the page."""
