#!/usr/bin/env python3
"""A second implementation of "Unlinkable addresses" (SPEC.md of kms/crypto), with nothing but Python's own library.

It prints the vectors in addresses.txt; what is sealed is made in grants.py.
"""
import hashlib
import hmac
import struct

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(a, b):
    if a is None or b is None:
        return a or b
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = 3 * x1 * x1 * pow(2 * y1, -1, P) if a == b else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times(k, point=G):
    out = None
    while k:
        if k & 1:
            out = add(out, point)
        point = add(point, point)
        k >>= 1
    return out


def compressed(point):
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


def label(name):
    text = f"keyward/{name}/v1".encode()
    return bytes([len(text)]) + text


def keyed(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(key, name, context, length):
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = keyed(key, block, label(name) + context, bytes([count]))
        out, count = out + block, count + 1
    return out[:length]


def scalar(key, name, context):
    return int.from_bytes(expand(key, name, context, 64), "big") % N


def u32(number):
    return struct.pack(">I", number)


def node(root, depth, epoch):
    for level in range(depth):
        root = keyed(root, bytes([(epoch >> (31 - level)) & 1]))
    return root


def shape(first, last):
    at = first
    while at <= last:
        bits = 0
        while bits < 32 and at % 2 ** (bits + 1) == 0 and at + 2 ** (bits + 1) - 1 <= last:
            bits += 1
        yield 32 - bits, at
        at += 2**bits


class Account:
    def __init__(self, root):
        self.viewing = keyed(root, label("address-viewing"))
        self.spending = keyed(root, label("address-spending"))
        self.handles = keyed(root, label("address-handle"))

    def view(self, epoch):
        return node(self.viewing, 32, epoch)

    def spend(self, epoch):
        return scalar(node(self.spending, 32, epoch), "address-spending-scalar", u32(epoch))

    def tweak(self, epoch, index):
        return scalar(self.view(epoch), "address-tweak", u32(epoch) + u32(index))

    def address(self, epoch, index):
        return add(times(self.spend(epoch)), times(self.tweak(epoch, index)))

    def handle(self, window_ms, number):
        return keyed(self.handles, struct.pack(">QQ", window_ms, number))

    def cover(self, first, last):
        nodes = b"".join(node(self.viewing, depth, at) for depth, at in shape(first, last))
        return b"\x01" + u32(first) + u32(last) + nodes

    def meta(self, epoch):
        finding = times(scalar(self.view(epoch), "address-meta", u32(epoch)))
        return b"\x01" + u32(epoch) + compressed(times(self.spend(epoch))) + compressed(finding)

    def pay(self, epoch, seed):
        finding = times(scalar(self.view(epoch), "address-meta", u32(epoch)))
        ephemeral = scalar(seed, "address-payment", b"")
        public = compressed(times(ephemeral))
        parts = label("address-shared") + compressed(times(ephemeral, finding)) + public + self.meta(epoch)
        shared = hashlib.sha256(parts).digest()
        paid = add(times(self.spend(epoch)), times(scalar(shared, "address-paid", b"")))
        return paid, b"\x01" + public + expand(shared, "address-tag", b"", 16)


def show(name, *values):
    print(name, "=", ",".join(value.hex() for value in values))


def main():
    print("# Made by addresses.py, which is another implementation.")
    for number, epochs in enumerate([[0, 1], [489000, 489023], [2**31 - 1, 2**31], [2**32 - 1]]):
        root = hashlib.sha256(b"keyward address vectors" + bytes([number])).digest()
        account = Account(root)
        print("\n[account]")
        show("Root", root)
        show("Epochs", *map(u32, epochs))
        show("SpendingPoints", *(b"\x01" + u32(epoch) + compressed(times(account.spend(epoch))) for epoch in epochs))
        for index in (0, 1, 2**32 - 1):
            show(f"Address{index}", *(compressed(account.address(epoch, index)) for epoch in epochs))
        record = hashlib.sha256(b"record" + bytes([number])).digest()
        show("Record", record)
        commitments = (expand(account.view(epoch), "address-detail", u32(epoch) + record, 64)[32:] for epoch in epochs)
        show("DetailCommitments", *commitments)
        show("Handles", account.handle(86_400_000, 20_000), account.handle(3_600_000, 20_000), account.handle(86_400_000, 20_001))
        show("Cover", account.cover(epochs[0], epochs[-1]))
        show("MetaAddresses", *map(account.meta, epochs))
        paid, payment = account.pay(epochs[0], record)
        show("Paid", compressed(paid))
        show("Payment", payment)


if __name__ == "__main__":
    main()
