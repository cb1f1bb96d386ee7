"""Names and units as people write them, for the columns that explorer has."""
