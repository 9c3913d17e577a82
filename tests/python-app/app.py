"""Makes keys and signs with them, one, many and a stream; prints what came of it as one JSON object.

app.py PROFILE NAME: the folder of a profile, and how the keys' aliases begin.
"""

import json
import sys
import threading
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from keyward_app import Keyward, Order, Refused, verify


def main(profile: Path, name: str) -> dict:
    keyward = Keyward(profile)
    try:
        keys = {scheme: f"{name}-{scheme}" for scheme in ("ecdsa-secp256k1", "ecdsa-p256", "ed25519")}
        for scheme, alias in keys.items():
            keyward.create_key(alias, scheme)
        story = {"one": one(keyward, keys), "many": many(keyward, keys), "stream": stream(keyward, keys)}
        return story | {"refused": refusals(keyward, keys)}
    finally:
        keyward.close()


def one(keyward: Keyward, keys: dict[str, str]) -> list[dict]:
    answers = []
    for scheme, alias in keys.items():
        order = Order(alias, b"pay 12.50 to alice")
        first, again = keyward.sign(order), keyward.sign(order)
        try:
            verify(first.scheme, first.public_key, b"pay 99.99 to mallory", first.signature)
            forged = True
        except InvalidSignature:
            forged = False
        answers.append(
            {
                "scheme": scheme,
                "message": order.message.hex(),
                "signature": first.signature.hex(),
                "public_key": first.public_key.hex(),
                "receipt": first.receipt.hex(),
                "done_once": first == again,
                "verifies_for_another_message": forged,
            }
        )
    return answers


def many(keyward: Keyward, keys: dict[str, str]) -> dict:
    orders = [Order(keys["ed25519"], f"pay {number}".encode()) for number in range(300)]
    orders[7] = Order("no-such-key", b"pay")
    results = keyward.sign_batch(orders)
    refused = [(place, result.code) for place, result in enumerate(results) if isinstance(result, Refused)]
    return {"asked": len(orders), "signed": len(results) - len(refused), "refused": refused}


def stream(keyward: Keyward, keys: dict[str, str]) -> dict:
    orders = [Order(keys["ecdsa-secp256k1"], f"stream {number}".encode()) for number in range(500)]
    signed, ahead, ahead_max, answered = 0, 0, 0, set()
    lock = threading.Lock()  # orders are taken by a thread of the gRPC library

    def counted():
        nonlocal ahead, ahead_max
        for order in orders:
            with lock:
                ahead += 1
                ahead_max = max(ahead_max, ahead)
            yield order

    for order, result in keyward.sign_stream(counted(), window=32):
        with lock:
            ahead -= 1
        answered.add(order.mark)
        signed += not isinstance(result, Refused)
    return {"asked": len(orders), "signed": signed, "distinct": len(answered), "ahead_max": ahead_max}


def refusals(keyward: Keyward, keys: dict[str, str]) -> dict:
    """What each of these comes to: code, retry, and whether the refusal has a name for the operator."""
    order = Order(keys["ed25519"], b"first")
    keyward.sign(order)
    cases = {
        "unknown key": Order("no-such-key", b"m"),
        "another request": Order(keys["ed25519"], b"second", order.mark),
        "too long": Order(keys["ed25519"], bytes((1 << 20) + 1)),
        "far too long": Order(keys["ed25519"], bytes(9 << 20)),
        "long mark": Order(keys["ed25519"], b"m", bytes(65)),
    }
    told = {}
    for case, asked in cases.items():
        try:
            keyward.sign(asked)
            told[case] = None
        except Refused as refused:
            told[case] = [refused.code, refused.retry, len(refused.request_id)]
    return told


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: app.py PROFILE NAME")
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
