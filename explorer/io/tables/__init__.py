"""Tables in every format that users bring, as text cells: `read_table` in `read`."""
