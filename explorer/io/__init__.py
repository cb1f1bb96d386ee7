"""Files: bounded reading and atomic writing of text, declarations (TOML, JSON), CSV and npz."""
