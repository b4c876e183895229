"""What a run leaves behind: label map, catalog, regions, pictures, cubes.

Every writer streams in bounded memory, writes the same bytes for the same input, and writes beside its target, so
that a file is either whole or absent.
"""
