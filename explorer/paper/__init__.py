"""Source paper: its equations (1)-(10), its Tables 1 and 2, and the audit of its statements."""
