"""Which Ed25519 public keys are none: for those of small order anybody can sign anything, without a private key."""

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME


def is_of_small_order(public_key: bytes) -> bool:
    """Whether the point (RFC 8032, 32 bytes) becomes the identity when it is doubled three times.

    Of a point with height y the double's height follows from y alone: x² = (y² - 1) / (d·y² + 1), and then
    (y² + x²) / (2 - y² + x²). So the sign of x does not count, nor whether y was written modulo the prime.
    """
    y = (int.from_bytes(public_key, "little") & ~(1 << 255)) % _PRIME
    for _ in range(3):
        y2 = y * y % _PRIME
        x2 = _quotient(y2 - 1, _D * y2 + 1)
        y = _quotient(y2 + x2, 2 - y2 + x2)
    return y == 1


def _quotient(a: int, b: int) -> int:
    return a * pow(b, _PRIME - 2, _PRIME) % _PRIME
