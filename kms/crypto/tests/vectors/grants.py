#!/usr/bin/env python3
"""A second implementation of what grants open: details, closings, deliveries and dealings (SPEC.md of kms/crypto).

It prints the vectors in grants.txt.
"""
import hashlib

import addresses
import sealing
from addresses import Account, compressed, label, show, times, u32

ORDER = sealing.L
H = sealing.element_of(label("vault-mask-base"))


def random(*name):
    return hashlib.sha256(b"keyward grant vectors" + b"/".join(str(part).encode() for part in name)).digest()


def committed(both, associated, plain):
    """Sealed once, behind the commitment to the key."""
    return both[32:] + sealing.seal(both[:32], bytes(12), associated, plain)


def sealed_detail(view, epoch, record, public, detail):
    both = addresses.expand(view, "address-detail", u32(epoch) + record, 64)
    padded = u32(len(detail)) + detail + bytes(1020 - len(detail))
    return b"\x01" + committed(both, label("address-detail") + public, padded)


def sealed_closing(view, epoch, salt, public, closing):
    both = addresses.expand(view, "address-closing", u32(epoch) + salt, 64)
    return b"\x01" + salt + committed(both, label("address-closing") + public, closing + bytes(224 - len(closing)))


def scalar(*name):
    return int.from_bytes(random(*name) + random(*name, "more"), "little") % ORDER


def le(number):
    return number.to_bytes(32, "little")


def at(polynomial, x):
    return sum(term * x**power for power, term in enumerate(polynomial)) % ORDER


def pedersen(value, blinder):
    return sealing.ristretto(sealing.add(sealing.times(value, sealing.BASE), sealing.times(blinder, H)))


def punctured(account, first):
    nodes = b"".join(addresses.node(account.viewing, depth, epoch) for depth, epoch in addresses.shape(first, 2**32 - 1))
    return b"\x01" + u32(first) + account.spending + account.handles + nodes


def dealt(number, chain, name, account, first, last, expires, threshold, keepers):
    """A dealing, its shares, and what every keeper gives to one opening."""
    key, blinders = ([scalar(number, what, power) for power in range(threshold)] for what in ("key", "blinder"))
    commitments = [pedersen(*pair) for pair in zip(key, blinders)]
    head = b"\x01" + chain + name + u32(first) + u32(last) + expires + bytes([threshold, len(keepers)])
    head += b"".join(keepers) + b"".join(commitments)
    info = label("viewing-key") + chain + name + u32(first) + u32(last)
    both = sealing.expand(sealing.extract(b"", le(key[0])), info, 64)
    dealing = head + b"\x01" + committed(both, label("viewing-key") + head, account.cover(first, last))
    return dealing, [b"\x01" + le(at(key, index)) + le(at(blinders, index)) for index in range(1, len(keepers) + 1)]


def one(number, first, last, threshold, count):
    root, chain, name, grant = (random(number, what) for what in ("root", "chain", "account", "grant"))
    account, grant_secret = Account(root), random(number, "grant key")
    grantee = sealing.x25519(grant_secret)
    print("\n[grant]")
    show("Root", root)
    show("Epochs", u32(first), u32(last))
    show("ChainId", chain)
    show("Account", name)
    show("Grant", grant)
    show("GrantSecret", grant_secret)
    show("GrantKey", grantee)
    record, public, detail = random(number, "record"), random(number, "public") * 3, random(number, "detail") * 5
    show("Record", record)
    show("Public", public)
    show("Detail", detail)
    show("SealedDetail", sealed_detail(account.view(first), first, record, public, detail))
    show("Tags", *(addresses.expand(account.view(epoch), "address-closed", u32(epoch), 32) for epoch in (first, last)))
    spending = b"\x01" + u32(first) + compressed(times(account.spend(first)))
    closing = b"\x01" + spending + u32(9) + u32(7) + random(number, "records")
    show("Closing", closing)
    show("SealedClosing", sealed_closing(account.view(first), first, random(number, "salt"), public, closing))
    info = label("grant-delivery") + chain + grant + name + u32(first) + u32(last)
    cover = account.cover(first, last)
    show("Cover", cover)
    show("Delivery", sealing.hpke(grantee, info, cover, random(number, "ephemeral")))
    show("Punctured", *(punctured(account, epoch) for epoch in (0, first, last + 1)))
    keepers = sorted(random(number, "keeper", index) for index in range(count))
    dealing, shares = dealt(number, chain, name, account, first, last, random(number, "expires")[:8], threshold, keepers)
    digest = hashlib.sha256(label("viewing-dealing") + dealing).digest()
    show("Dealing", dealing)
    show("DealingHash", digest)
    secrets = [random(number, "keeper secret", index) for index in range(count)]
    show("KeeperSecrets", *secrets)
    sealed = []
    for index, (keeper, secret, share) in enumerate(zip(keepers, secrets, shares)):
        info = label("viewing-share") + digest + keeper
        sealed.append(sealing.hpke(sealing.x25519(secret), info, share, random(number, "share", index)))
    show("SealedShares", *sealed)
    kept = b"\x01" + digest + chain + name + u32(first) + u32(last)
    show("KeptShares", *(kept + keeper + bytes([index]) + share for index, (keeper, share) in enumerate(zip(keepers, shares), 1)))
    seeds = [random(number, "keeper seed", index) for index in range(count)]
    show("KeeperKeys", *(sealing.ed25519(seed)[0] for seed in seeds))
    bound, parts = chain + grant + (1000 + number).to_bytes(8, "big") + digest, []
    for index, (keeper, seed, share) in enumerate(zip(keepers, seeds, shares)):
        signature = sealing.ed25519(seed)[1](label("viewing-given") + bound + keeper + grantee + share)
        parts.append(sealing.hpke(grantee, label("viewing-part") + bound + keeper, share + signature, random(number, "part", index)))
    show("LeafIndex", (1000 + number).to_bytes(8, "big"))
    show("Parts", *parts)


def main():
    print("# Made by grants.py, which is another implementation.")
    one(1, 489000, 489023, 2, 3)
    one(2, 1, 30, 3, 3)
    one(3, 2**31 - 1, 2**31, 2, 2)


if __name__ == "__main__":
    main()
