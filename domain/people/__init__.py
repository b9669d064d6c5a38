"""Who acts, and what entitles them."""
