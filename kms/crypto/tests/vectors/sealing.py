"""AES-256-GCM, X25519, HPKE (base mode), Ed25519 and ristretto255, with nothing but Python's own library: for vectors, never for secrets."""
import hashlib
import hmac

Q = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, Q) % Q
ROOT = pow(2, (Q - 1) // 4, Q)  # of -1
ONE_MINUS_D_SQ = (1 - D * D) % Q
D_MINUS_ONE_SQ = (D - 1) ** 2 % Q


def _sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p ^= (p << 1) ^ (0x11B if p & 0x80 else 0)
        for shift in (1, 2, 4):
            q ^= q << shift
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = [((q << n) | (q >> (8 - n))) & 0xFF for n in range(5)]
        box[p & 0xFF] = rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63
        if p == 1:
            box[0] = 0x63
            return box


SBOX = _sbox()


def _double(byte):
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def aes256(key):
    """A function that encrypts one block (FIPS 197)."""
    words = [list(key[at : at + 4]) for at in range(0, 32, 4)]
    constant = 1
    for at in range(8, 60):
        word = words[-1]
        if at % 8 == 0:
            word = [SBOX[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _double(constant)
        elif at % 8 == 4:
            word = [SBOX[byte] for byte in word]
        words.append([one ^ other for one, other in zip(words[at - 8], word)])
    keys = [sum(words[at : at + 4], []) for at in range(0, 60, 4)]

    def block(plain):
        state = [one ^ other for one, other in zip(plain, keys[0])]
        for number, key in enumerate(keys[1:], 1):
            state = [SBOX[state[(at + 4 * (at % 4)) % 16]] for at in range(16)]
            if number < 14:
                mixed = []
                for at in range(0, 16, 4):
                    column = state[at : at + 4]
                    every = column[0] ^ column[1] ^ column[2] ^ column[3]
                    mixed += [column[n] ^ every ^ _double(column[n] ^ column[(n + 1) % 4]) for n in range(4)]
                state = mixed
            state = [one ^ other for one, other in zip(state, key)]
        return bytes(state)

    return block


def _ghash(h, data):
    h, out = int.from_bytes(h, "big"), 0
    for at in range(0, len(data), 16):
        out ^= int.from_bytes(data[at : at + 16], "big")
        product, factor = 0, h
        for bit in range(127, -1, -1):
            if out >> bit & 1:
                product ^= factor
            factor = factor >> 1 ^ (0xE1 << 120 if factor & 1 else 0)
        out = product
    return out


def seal(key, nonce, associated, plain):
    """AES-256-GCM (NIST SP 800-38D)."""
    block = aes256(key)
    stream = b"".join(block(nonce + at.to_bytes(4, "big")) for at in range(2, 2 + (len(plain) + 15) // 16))
    sealed = bytes(one ^ other for one, other in zip(plain, stream))
    data = b"".join(part + bytes(-len(part) % 16) for part in (associated, sealed))
    data += (8 * len(associated)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    tag = _ghash(block(bytes(16)), data) ^ int.from_bytes(block(nonce + b"\0\0\0\1"), "big")
    return sealed + tag.to_bytes(16, "big")


def extract(salt, secret):
    return hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()


def expand(key, info, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([count]), hashlib.sha256).digest()
        out, count = out + block, count + 1
    return out[:length]


def x25519(secret, point=9):
    """RFC 7748."""
    k = int.from_bytes(secret, "little") & ~7 & ~(128 << 8 * 31) | 64 << 8 * 31
    x1, x2, z2, x3, z3 = point, 1, 0, point, 1
    for bit in range(254, -1, -1):
        if k >> bit & 1:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a, c * b
        x3, z3 = (da + cb) ** 2 % Q, x1 * (da - cb) ** 2 % Q
        e = a * a - b * b
        x2, z2 = a * a * b * b % Q, e * (a * a + 121665 * e) % Q
        if k >> bit & 1:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, -1, Q) % Q).to_bytes(32, "little")


def hpke(receiver, info, plain, ephemeral):
    """RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one message."""

    def labelled_extract(suite, salt, label, secret):
        return extract(salt, b"HPKE-v1" + suite + label + secret)

    def labelled_expand(suite, key, label, info, length):
        return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)

    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    encapsulated = x25519(ephemeral)
    product = x25519(ephemeral, int.from_bytes(receiver, "little") & (1 << 255) - 1)
    shared = labelled_extract(kem, b"", b"eae_prk", product)
    shared = labelled_expand(kem, shared, b"shared_secret", encapsulated + receiver, 32)
    context = b"\0" + labelled_extract(suite, b"", b"psk_id_hash", b"") + labelled_extract(suite, b"", b"info_hash", info)
    secret = labelled_extract(suite, shared, b"secret", b"")
    key, nonce = (labelled_expand(suite, secret, name, context, length) for name, length in ((b"key", 32), (b"base_nonce", 12)))
    return encapsulated + seal(key, nonce, b"", plain)


def add(one, other):
    """Points of edwards25519, as (x, y)."""
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + y1 * x2) * pow(1 + t, -1, Q) % Q
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, Q) % Q


def times(k, point):
    out = (0, 1)
    while k:
        if k & 1:
            out = add(out, point)
        point, k = add(point, point), k >> 1
    return out


def _even_root(square):
    root = pow(square, (Q + 3) // 8, Q)
    root = root if root * root % Q == square % Q else root * ROOT % Q
    assert root * root % Q == square % Q
    return root if root % 2 == 0 else Q - root


_Y = 4 * pow(5, -1, Q) % Q
BASE = (_even_root((_Y * _Y - 1) * pow(D * _Y * _Y + 1, -1, Q) % Q), _Y)


def ed25519(seed):
    """A key's public part and what signs with it (RFC 8032)."""
    hashed = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(hashed[:32], "little") & ~7 & ~(128 << 8 * 31) | 64 << 8 * 31

    def encoded(point):
        return (point[1] | point[0] % 2 << 255).to_bytes(32, "little")

    def number(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L

    public = encoded(times(scalar, BASE))

    def sign(message):
        nonce = number(hashed[32:], message)
        commitment = encoded(times(nonce, BASE))
        return commitment + ((nonce + number(commitment, public, message) * scalar) % L).to_bytes(32, "little")

    return public, sign


def _negative(x):
    return x % Q % 2 == 1


def _ratio_root(u, v):
    """Whether u/v is a square, and the root of it, or of it times the root of -1 (RFC 9496, section 4.2)."""
    root = u * pow(v, 3, Q) * pow(u * pow(v, 7, Q), (Q - 5) // 8, Q) % Q
    check = v * root * root % Q
    if check in (-u % Q, -u * ROOT % Q):
        root = root * ROOT % Q
    return check in (u % Q, -u % Q), -root % Q if _negative(root) else root


def ristretto(point):
    """The encoding of an element (RFC 9496, section 4.3.2)."""
    x, y = point
    t = x * y % Q
    u1, u2 = (1 + y) * (1 - y) % Q, t
    _, inverse = _ratio_root(1, u1 * u2 * u2 % Q)
    d1, d2 = u1 * inverse % Q, u2 * inverse % Q
    z_inverse = d1 * d2 * t % Q
    if _negative(t * z_inverse):
        _, invsqrt_a_minus_d = _ratio_root(1, -1 - D)
        x, y, d_inverse = y * ROOT % Q, x * ROOT % Q, d1 * invsqrt_a_minus_d % Q
    else:
        d_inverse = d2
    y = -y % Q if _negative(x * z_inverse) else y
    s = d_inverse * (1 - y) % Q
    return (-s % Q if _negative(s) else s).to_bytes(32, "little")


def element_of(*parts):
    """The one-way map of 64 uniform bytes (RFC 9496, section 4.3.4), from SHA-512."""

    def one(half):
        t = int.from_bytes(half, "little") % 2**255 % Q
        r = ROOT * t * t % Q
        u, v = (r + 1) * ONE_MINUS_D_SQ % Q, (-1 - r * D) * (r + D) % Q
        square, s = _ratio_root(u, v)
        c = -1
        if not square:
            s = s * t % Q
            s, c = -s % Q if not _negative(s) else s, r
        n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % Q
        sqrt_ad_minus_one = _SQRT_AD_MINUS_ONE
        w0, w1, w2, w3 = 2 * s * v % Q, n * sqrt_ad_minus_one % Q, (1 - s * s) % Q, (1 + s * s) % Q
        return w0 * w3 * pow(w1 * w3, -1, Q) % Q, w2 * w1 * pow(w1 * w3, -1, Q) % Q

    hashed = hashlib.sha512(b"".join(parts)).digest()
    return add(one(hashed[:32]), one(hashed[32:]))


_SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
