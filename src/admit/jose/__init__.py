"""JOSE: bytes in, bytes out (RFC 7515 to 7518, 7638, 7797, 8037, 9864, 9964). No claims, no time, no I/O."""
