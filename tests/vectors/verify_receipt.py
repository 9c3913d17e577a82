#!/usr/bin/env python3
"""A second verifier, from ledger/core/SPEC.md alone: Python's standard library and nothing else.

usage: verify_receipt.py TRUST_FILE RECEIPT_FILE [MESSAGE_FILE]

Verifies everything but signatures of schemes other than Ed25519, which it says. Prints one line of JSON;
exit code 0 when the receipt holds, 1 when it does not. Slow and not constant-time: for checking, not for service.
"""
import hashlib
import json
import re
import sys


class Refused(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Refused(what)


# --- section 1: conventions ---------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def tagged(label, data):
    return sha256(bytes([len(label)]) + label.encode() + data)


def u32(value):
    return value.to_bytes(4, "big")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        need(self.at + length <= len(self.data), "truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def uint(self, length):
        return int.from_bytes(self.take(length), "big")

    def count(self, maximum):
        value = self.uint(4)
        need(value <= maximum, "a length is over its bound")
        return value

    def bytes(self, maximum):
        return self.take(self.count(maximum))

    def version(self):
        need(self.uint(1) == 1, "unknown version")

    def finish(self):
        need(self.at == len(self.data), "bytes are left over")


# --- section 2: Ed25519, strict -----------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar, point):
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """A point in its one encoding."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (2**255 - 1)
    need(y < P, "a point is not canonical")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_M1 % P
    need((x * x - square) % P == 0, "not a point of the curve")
    need(not (x == 0 and sign), "a point is not canonical")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def large_order(point):
    return encode(times(8, point)) != encode(IDENTITY)


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_key(key):
    need(large_order(decode(key)), "a public key is of small order")


def ed25519(key, message, signature):
    a, r, s = decode(key), signature[:32], int.from_bytes(signature[32:], "little")
    need(len(signature) == 64 and s < L, "a signature is not canonical")
    need(large_order(a) and large_order(decode(r)), "a point is of small order")
    k = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    minus_a = (P - a[0], a[1], 1, P - a[3])
    need(encode(add(times(s, BASE), times(k, minus_a))) == r, "a signature does not verify")


# --- sections 3, 6, 9: sets, headers, certificates ----------------------------------------------


def name(reader):
    text = reader.bytes(64)
    need(re.fullmatch(rb"[a-z0-9-]{1,64}", text), "the name is malformed")
    return text


def validators(reader):
    keys = [reader.take(32) for _ in range(reader.count(256))]
    need(keys, "a validator set is empty")
    need(all(a < b for a, b in zip(keys, keys[1:])), "validators do not ascend")
    for key in keys:
        ed25519_key(key)
    return keys


def set_hash(keys):
    return tagged("keyward/set/v1", u32(len(keys)) + b"".join(keys))


HEADER = [
    ("version", 1), ("chain_id", 32), ("height", 8), ("epoch", 8), ("parent", 32), ("time_ms", 8), ("proposer", 32),
    ("regime", 1), ("body_hash", 32), ("log_size", 8), ("log_root", 32), ("state_root", 32), ("set_hash", 32),
    ("next_set_hash", 32),
]


def signed_header(reader):
    raw = reader.take(290)
    fields, inner = {}, Reader(raw)
    for field, length in HEADER:
        fields[field] = inner.take(length) if length == 32 else inner.uint(length)
    need(fields["version"] == 1, "unknown block version")
    need(fields["regime"] in (1, 2), "unknown regime")
    fields["raw"], fields["signature"] = raw, reader.take(64)
    fields["digest"] = tagged("keyward/block/v1", raw + fields["signature"])
    return fields


def certificate(reader):
    reader.version()
    fields = {key: reader.uint(8) for key in ("epoch", "view", "parent_view")}
    fields["digest"] = reader.take(32)
    fields["signers"] = [(reader.uint(4), reader.take(64)) for _ in range(reader.count(256))]
    indices = [index for index, _ in fields["signers"]]
    need(all(a < b for a, b in zip(indices, indices[1:])), "signers do not ascend")
    return fields


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def certified_by(header, votes, keys, chain_id, after_epoch):
    need(header["height"] > 0, "genesis carries no certificate")
    need(header["chain_id"] == chain_id, "the block is for another ledger")
    need(header["set_hash"] == set_hash(keys), "the block names other validators")
    need(after_epoch is None or header["epoch"] > after_epoch, "the block's epoch does not fit")
    need(votes["epoch"] == header["epoch"], "the certificate is for another epoch")
    need(votes["digest"] == header["digest"], "the certificate is for another block")
    need(header["proposer"] in keys, "the proposer is not a validator")
    ed25519(header["proposer"], tagged("keyward/proposal/v1", header["raw"]), header["signature"])
    need(len(votes["signers"]) >= len(keys) - (len(keys) - 1) // 3, "no quorum")
    namespace = b"keyward/consensus/v1" + chain_id + b"_FINALIZE"
    numbers = varint(votes["epoch"]) + varint(votes["view"]) + varint(votes["parent_view"])
    message = varint(len(namespace)) + namespace + numbers + votes["digest"]
    for index, signature in votes["signers"]:
        need(index < len(keys), "a signer is not a validator")
        ed25519(keys[index], message, signature)


# --- section 11: the trust file -----------------------------------------------------------------


def trust_file(data):
    need(len(data) <= 512, "the trust file is too long")
    hash_, start = rb"([0-9a-f]{64})", rb"keyward-trust-1 ([a-z0-9-]{1,64}) "
    found = re.fullmatch(start + hash_ + rb"\n", data)
    if found:
        return found[1], bytes.fromhex(found[2].decode()), None
    line = re.fullmatch(rb"(" + start + hash_ + rb" ([1-9][0-9]*) " + hash_ + b" " + hash_ + rb") ([0-9a-f]{16})\n", data)
    need(line, "the trust file is malformed")
    need(int(line[4]) < 2**64, "the trust file's height is malformed")
    need(tagged("keyward/checkpoint/v1", line[1]).hex()[:16] == line[7].decode(), "the trust file was changed")
    pin = (int(line[4]), bytes.fromhex(line[5].decode()), bytes.fromhex(line[6].decode()))
    return line[2], bytes.fromhex(line[3].decode()), pin


# --- sections 4, 7, 10: records, log, receipts --------------------------------------------------


def inclusion(leaf, index, size, proof, root):
    need(index < size, "the leaf is not in the log")
    f, s, r = index, size - 1, leaf
    for p in proof:
        need(s != 0, "the inclusion proof is too long")
        if f & 1 or f == s:
            r = sha256(b"\x01" + p + r)
            while f and not f & 1:
                f, s = f >> 1, s >> 1
        else:
            r = sha256(b"\x01" + r + p)
        f, s = f >> 1, s >> 1
    need(s == 0, "the inclusion proof is too short")
    need(r == root, "the inclusion proof leads to another root")


def record(data):
    reader = Reader(data)
    reader.version()
    fields = {"height": reader.uint(8), "time_ms": reader.uint(8), "submitter": reader.take(32)}
    fields.update(sequence=reader.uint(8), index=reader.uint(4), entry=reader.bytes(4098))
    outcome = Reader(reader.bytes(260))
    fields["code"], length = outcome.uint(2), outcome.uint(2)
    need(length <= 256, "the outcome is too long")
    outcome.take(length)
    outcome.finish()
    reader.finish()
    return fields


def follow(reader, trust):
    """Reads `certified` and verifies it; gives the header and the number of signers."""
    trusted_name, chain_id, pin = trust
    header, votes = signed_header(reader), certificate(reader)
    genesis_name, keys, rest_hash = name(reader), validators(reader), reader.take(32)
    links = [(signed_header(reader), certificate(reader), validators(reader)) for _ in range(reader.count(1024))]
    need(genesis_name == trusted_name, "the receipt is for a ledger of another name")
    genesis = tagged("keyward/genesis/v1", u32(len(genesis_name)) + genesis_name + set_hash(keys) + rest_hash)
    need(genesis == chain_id, "the receipt is for another ledger")
    last_height, last_epoch, pinned_set = 0, None, keys
    for link, link_votes, new_keys in links:
        need(last_height < link["height"] < header["height"], "a link is out of order")
        certified_by(link, link_votes, keys, chain_id, last_epoch)
        need(link["next_set_hash"] != link["set_hash"], "a link changes nothing")
        need(link["next_set_hash"] == set_hash(new_keys), "a link leads to another set")
        need(not pin or link["height"] != pin[0] or link["digest"] == pin[1], "a link is not the pinned block")
        keys, last_height, last_epoch = new_keys, link["height"], link["epoch"]
        if pin and link["height"] < pin[0]:
            pinned_set = keys
    if pin:
        need(header["height"] >= pin[0], "older than the checkpoint")
        need(set_hash(pinned_set) == pin[2], "the validators at the checkpoint are others")
        need(header["height"] != pin[0] or header["digest"] == pin[1], "not the pinned block")
    certified_by(header, votes, keys, chain_id, last_epoch)
    return header, len(votes["signers"])


def intent(entry):
    """Section 4: the key, the commitment, and that the key signs as it is."""
    _intent_id, key_id, _executor, commitment = (entry.take(32) for _ in range(4))
    entry.take(32 + 8)
    return key_id, commitment, False


def shared_intent(entry):
    """Section 21, with the authors of section 12. The ledger has checked who they are."""
    _intent_id, key_id = entry.take(32), entry.take(32)
    entry.take(4 + 32)
    commitment, tweak = entry.take(32), entry.uint(1)
    need(tweak <= 2, "unknown tweak")
    entry.take(32 if tweak == 2 else 0)
    entry.take(entry.count(16))
    entry.take(32 + 8)
    option = entry.uint(1)
    need(option <= 1, "unknown option")
    entry.take(32 * option)
    for _ in range(entry.count(16)):
        party = entry.uint(1)
        need(party in (1, 2), "unknown party")
        entry.take(32 + 32 + 8)
        if party == 2:
            entry.bytes(1040)
        entry.bytes(1024)
    return key_id, commitment, tweak != 0


def address_intent(entry):
    """Section 24: the key is the address itself, for scheme 2 its x alone. The ledger has checked its proof."""
    entry.take(32)
    scheme, point = entry.uint(1), entry.take(33)
    need(scheme in (1, 2), "unknown scheme of addresses")
    need(point[0] in (2, 3), "not a compressed point")
    entry.take(8 + 4 + 32)
    commitment = entry.take(32)
    entry.take(8)
    option = entry.uint(1)
    need(option <= 1, "unknown option")
    entry.take(64 * option)
    need(len(entry.bytes(1073)) == 1073, "no sealing has this length")
    entry.take(64)
    key = point[1:] if scheme == 2 else point
    return tagged("keyward/key/v1", bytes([scheme]) + u32(len(key)) + key), commitment, False


INTENTS = {32: intent, 146: shared_intent, 193: address_intent}


def released(reader, item, message):
    scheme, public_key = reader.uint(1), reader.bytes(1040)
    r, payload_hash, signature = reader.take(32), reader.take(32), reader.bytes(1024)
    need(scheme in range(1, 8), "unknown scheme")
    entry = Reader(item["entry"])
    kind = entry.uint(2)
    need(item["code"] == 0 and kind in INTENTS, "the record is not an accepted intent")
    key_id, commitment, tweaked = INTENTS[kind](entry)
    entry.finish()
    need(not tweaked or scheme == 2, "a key of this scheme has no tweak")
    key = bytes([scheme]) + u32(len(public_key)) + public_key
    need(tagged("keyward/key/v1", key) == key_id, "the public key is not the intent's")
    need(tagged("keyward/commitment/v1", r + payload_hash) == commitment, "the commitment does not open")
    if message is not None:
        need(sha256(message) == payload_hash, "the message is another one")
    need(scheme not in (4, 7) or message is not None, "the message is needed")
    if scheme != 4:
        return "not checked here"
    ed25519(public_key, message, signature)
    return "verified"


def verify(trust_bytes, receipt_bytes, message):
    trust, reader = trust_file(trust_bytes), Reader(receipt_bytes)
    reader.version()
    leaf, leaf_index = reader.bytes(4427), reader.uint(8)
    proof = [reader.take(32) for _ in range(reader.count(64))]
    header, signers = follow(reader, trust)
    inclusion(sha256(b"\x00" + leaf), leaf_index, header["log_size"], proof, header["log_root"])
    item = record(leaf)
    need(1 <= item["height"] <= header["height"], "the record's height does not fit")
    need(item["time_ms"] <= header["time_ms"], "the record's time does not fit")
    need(item["height"] != header["height"] or item["time_ms"] == header["time_ms"], "the record's time does not fit")
    signature, flag = None, reader.uint(1)
    need(flag in (0, 1), "unknown flag")
    if flag:
        signature = released(reader, item, message)
    else:
        need(message is None, "no signature to hold the message against")
    reader.finish()
    return {
        "valid": True, "height": item["height"], "leaf_index": leaf_index, "outcome": item["code"],
        "signers": signers, "signature": signature,
    }


def main(paths):
    if len(paths) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    contents = []
    for path in paths:
        with open(path, "rb") as file:
            contents.append(file.read())
    try:
        print(json.dumps(verify(contents[0], contents[1], contents[2] if len(contents) == 3 else None)))
        return 0
    except Refused as refused:
        print(json.dumps({"valid": False, "why": str(refused)}))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
