"""Checksums and bodies the suites compare with, computed apart from the server."""

import base64
import hashlib
import random

import crcmod

crc64_ecma = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, xorOut=0xFFFFFFFFFFFFFFFF, rev=True)


def md5_hex(data):
    return hashlib.md5(data).hexdigest()


def md5_base64(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def etag(data):
    """The ETag of an object put in one piece."""
    return f'"{md5_hex(data)}"'


def multipart_etag(parts):
    """The ETag of an object completed from these parts."""
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{md5_hex(joined)}-{len(parts)}"'


def body(size, seed=0):
    """Bytes that do not compress and differ by seed."""
    return random.Random(seed * 1_000_003 + size).randbytes(size)
