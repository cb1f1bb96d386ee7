"""Twin of compression, without its code: stored codes are read and recomputed, sizes counted, outputs computed."""
