"""Files, folders and the hub: rows as people have them, before anybody knows what they mean."""
