"""Independent twin of compression: codes read and recomputed, sizes and outputs, without code of `network/compression`."""
