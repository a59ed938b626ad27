"""Networks and what they are measured by. Never rasterio."""
