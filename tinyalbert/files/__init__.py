"""Models on disk: our folders, and the three formats that are read."""
