"""From pictures and metadata to a corpus: sources, screening, crops, captions, split."""
