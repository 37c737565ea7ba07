"""Directory trees as users have them, and whether two of them are the same."""

import hashlib
import os
import random

MIB = 1024 * 1024

# With `tree/` before it a key of 850 bytes, the longest COS takes, from names a
# file system takes.
LONGEST = "/".join(["L" * 200] * 4 + ["l" * 41])
assert len("tree/" + LONGEST) == 850

ODD_NAMES = [
    "with space",
    " leading",
    "trailing ",
    "plus+plus",
    "100%",
    "%2F%41.txt",
    "what?",
    "a#b",
    "a&b=c;d,e@f:g!h$i",
    "it's (quoted)",
    'double"quote',
    "[brackets]{braces}",
    "tilde~caret^grave`pipe|",
    "<angle>",
    "star*",
    "..two dots",
    ".hidden",
    "no..extension.",
    "中文 文件.txt",
    "目录/子目录/文件",
    "😀🎉.bin",
    "e\u0301-decomposed",
    "\u00e9-composed",
    "ÄÖÜ ß/ñ",
    "Кириллица",
    LONGEST,
]


def make(root, seed=1, small=2000, large=(120 * MIB, 20 * MIB + 1), odd=ODD_NAMES):
    """Fills a folder; the same seed makes the same tree."""
    rng = random.Random(seed)
    files = {}
    for n in range(small):
        size = rng.choice([0, 1, rng.randrange(100), rng.randrange(4096), rng.randrange(30_000)])
        files[f"many/{n % 23:02d}/{n:05d}.dat"] = size
    for number, size in enumerate(large):
        files[f"large/{number}.bin"] = size
    for number, name in enumerate(odd):
        files[f"{name}" if name == LONGEST else f"odd/{name}"] = 1 + number
    for path, size in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as file:
            for at in range(0, size, 16 * MIB):
                file.write(rng.randbytes(min(16 * MIB, size - at)))
    return files


def snapshot(root):
    """Path below the root to size and digest of every file."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                digest = hashlib.file_digest(file, "sha1").hexdigest()
            found[os.path.relpath(full, root)] = (os.path.getsize(full), digest)
    return found


def same(left, right):
    """Compares two folders byte for byte and says what differs."""
    one, two = snapshot(left), snapshot(right)
    missing = sorted(set(one) - set(two))
    surplus = sorted(set(two) - set(one))
    changed = sorted(p for p in one if p in two and one[p] != two[p])
    assert not (missing or surplus or changed), (
        f"{len(missing)} missing {missing[:5]}, {len(surplus)} surplus {surplus[:5]}, "
        f"{len(changed)} changed {changed[:5]}"
    )
