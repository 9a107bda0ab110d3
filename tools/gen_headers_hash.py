#!/usr/bin/env python3
"""Write headers_hash.h: a perfect hash over the names in src/proto/headers.def.

Usage: gen_headers_hash.py headers.def headers_hash.h

The hash takes a name's length and four of its bytes in lower case, multiplies, and keeps the upper
bits; the multipliers are searched so that no two known names share a slot. The search is seeded:
the same table always gives the same header. The generated header is read by fields.c alone, which
computes the same hash in header_lookup().
"""

import random
import re
import sys
from pathlib import Path

BITS = 10
ROW = re.compile(r'^HEADER\((\w+), "([!-~]+)", (COMMA|COOKIE|SINGLE|NONE), (HOP|END)\)$')
TRIES = 2_000_000


def read_rows(text: str) -> list[tuple[str, str]]:
    """Return the (id, name) pairs of headers.def; a row that is not understood is an error."""
    rows = []
    for line in text.splitlines():
        if line.startswith("HEADER"):
            match = ROW.match(line)
            if not match:
                raise SystemExit(f"headers.def: cannot read: {line}")
            rows.append((match[1], match[2]))
    return rows


def key(name: str) -> tuple[int, int]:
    """Return what the hash sees of a name: four bytes as one number, and the length."""
    folded = [ord(c) | 0x20 for c in name]
    size = len(folded)
    a, b, c, d = folded[0], folded[size // 2], folded[size * 3 // 4], folded[size - 1]
    return a | b << 8 | c << 16 | d << 24, size


def slot(seen: tuple[int, int], by_bytes: int, by_size: int) -> int:
    """Return the slot of a key, as header_lookup() computes it in 32 bits."""
    return ((seen[0] * by_bytes + seen[1] * by_size) & 0xFFFFFFFF) >> (32 - BITS)


def search(names: list[str]) -> tuple[int, int]:
    """Return multipliers under which every name has a slot of its own."""
    keys = [key(name) for name in names]
    if len(set(keys)) != len(keys):
        twins = [name for name in names if keys.count(key(name)) > 1]
        raise SystemExit(f"headers.def: the hash sees no difference between {twins}")
    rng = random.Random(9112)
    for _ in range(TRIES):
        by_bytes, by_size = rng.getrandbits(32) | 1, rng.getrandbits(32) | 1
        if len({slot(k, by_bytes, by_size) for k in keys}) == len(keys):
            return by_bytes, by_size
    raise SystemExit("headers.def: no perfect hash was found: raise BITS")


def render(rows: list[tuple[str, str]]) -> str:
    """Return the text of the header."""
    names = [name for _, name in rows]
    by_bytes, by_size = search(names)
    width = max(len(name) for name in names)
    lines = [
        "/* Made by tools/gen_headers_hash.py from headers.def. */",
        f"#define HEADER_HASH_BITS {BITS}",
        f"#define HEADER_HASH_BYTES {by_bytes:#x}u",
        f"#define HEADER_HASH_SIZE {by_size:#x}u",
        f"#define HEADER_NAME_MAX {width}",
        "",
        "static const uint8_t header_slots[1 << HEADER_HASH_BITS] = {",
        *(f"    [{slot(key(n), by_bytes, by_size)}] = HEADER_{i}," for i, n in rows),
        "};",
        "",
        "/* Names in lower case, and for each byte the bit in which a letter may differ. */",
        "static const struct {",
        "    uint8_t size;",
        "    char lower[HEADER_NAME_MAX], fold[HEADER_NAME_MAX];",
        "} header_folded[HEADER_COUNT] = {",
    ]
    for ident, name in rows:
        fold = ", ".join("32" if c.isalpha() else "0" for c in name)
        lower = ", ".join(f"'{c.lower()}'" for c in name)
        lines.append(f"    [HEADER_{ident}] = {{{len(name)}, {{{lower}}}, {{{fold}}}}},")
    return "\n".join([*lines, "};", ""])


def main() -> None:
    """Read the table named first, write the header named second."""
    source, target = map(Path, sys.argv[1:])
    target.write_text(render(read_rows(source.read_text())))


if __name__ == "__main__":
    main()
