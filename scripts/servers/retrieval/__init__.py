"""What the three reference servers share: a corpus, its index on disk, and the ways to search in it."""
