"""Finding a person's data in the store, erasing and exporting it, and how long all data is kept."""
