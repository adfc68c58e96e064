"""The nouns of etastar and the one loop. Read this folder first; it imports torch only."""
