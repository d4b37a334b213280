"""Files as people have them, row by row into a table.

    opening ─> unpacking, archives (tar) ─> files ─┬─> decoding (charsets, lines) ─> delimited, objects ─┬─> TableWriter
                                                   └─> parquet ··process··> parquet_worker (arrow) ──────┘

Promises: no file is ever held whole in memory; nothing is unpickled, executed or unpacked to disk; the
outcome is rows or one DataError with its place, whatever the bytes.
"""
