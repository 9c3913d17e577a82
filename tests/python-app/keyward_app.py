"""A client of keyward.v1.Signing: orders in, verified signatures out.

An order carries an idempotency key: sent twice, it is signed once. That is what makes trying again safe.
"""

import hashlib
import secrets
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from keyward.v1 import keyward_pb2 as messages
from keyward.v1 import keyward_pb2_grpc as services

ANSWER_BYTES_MAX = 64 << 20
BATCH_LEN_MAX = 256
CONNECT_SECONDS = 5.0
# The codes of schemes in key ids: ledger/core/SPEC.md, "Public key".
SCHEMES = {"ecdsa-secp256k1": 1, "bip340": 2, "ecdsa-p256": 3, "ed25519": 4, "rsa-pss": 5, "rsa-pkcs1": 6}


class Refused(Exception):
    """The service refused: a stable code, whether the same order may be sent again, and when."""

    def __init__(self, code: str, message: str, retry: bool, retry_after_ms: int = 0, request_id: str = ""):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        self.retry, self.retry_after_ms, self.request_id = retry, retry_after_ms, request_id

    @classmethod
    def of(cls, error: grpc.RpcError) -> "Refused":
        trailers = dict(error.trailing_metadata() or ())
        unreachable = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return cls(
            code=trailers.get("keyward-code", error.code().name),
            message=error.details() or "",
            # Without a code nobody of Keyward spoke: the order may have been done, and its key finds it.
            retry=trailers["keyward-retry"] == "true" if "keyward-retry" in trailers else unreachable,
            retry_after_ms=int(trailers.get("keyward-retry-after-ms", 100)),
            request_id=trailers.get("keyward-request-id", ""),
        )

    @classmethod
    def inside(cls, refusal: messages.Refusal) -> "Refused":
        return cls(refusal.code, refusal.message, refusal.retry, refusal.retry_after_ms)


class Unbelievable(Exception):
    """The answer does not verify."""


@dataclass(frozen=True)
class Order:
    """What is to be signed, with which key, under a mark (1 to 64 bytes) that the app may keep."""

    key: str
    message: bytes
    mark: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def request(self, tag: int = 0) -> messages.SignRequest:
        return messages.SignRequest(key=self.key, message=self.message, idempotency_key=self.mark, tag=tag)


class Keyward:
    """A connection with the profile's certificate."""

    def __init__(self, profile: Path, seconds: float = 20.0, tries: int = 4):
        folder = profile if profile.is_dir() else profile.parent
        with open(folder / "profile.toml", "rb") as file:
            settings = tomllib.load(file)
        pem = {name: (folder / settings[name]).read_bytes() for name in ("ca", "key", "certificate")}
        address = settings["service"].removeprefix("https://")
        self.channel = grpc.secure_channel(
            address,
            grpc.ssl_channel_credentials(pem["ca"], pem["key"], pem["certificate"]),
            options=[("grpc.max_receive_message_length", ANSWER_BYTES_MAX)],
        )
        grpc.channel_ready_future(self.channel).result(timeout=CONNECT_SECONDS)
        self.keys = services.KeysStub(self.channel)
        self.signing = services.SigningStub(self.channel)
        self.seconds, self.tries = seconds, tries

    def close(self) -> None:
        self.channel.close()

    def create_key(self, alias: str, scheme: str) -> messages.Key:
        mark = secrets.token_bytes(16)
        request = messages.CreateKeyRequest(alias=alias, scheme=scheme, idempotency_key=mark)
        return self._call(self.keys.Create, request).key

    def sign(self, order: Order) -> messages.SignResponse:
        """One signature."""
        return verified(order, self._call(self.signing.Sign, order.request()))

    def sign_batch(self, orders: list[Order]) -> list[messages.SignResponse | Refused]:
        """Many in one call, answered in order; each stands or falls alone."""
        results: list[messages.SignResponse | Refused] = []
        for first in range(0, len(orders), BATCH_LEN_MAX):
            part = orders[first : first + BATCH_LEN_MAX]
            request = messages.SignBatchRequest(requests=[order.request(tag) for tag, order in enumerate(part)])
            answers = self._call(self.signing.SignBatch, request).responses
            if [answer.tag for answer in answers] != list(range(len(part))):
                raise Unbelievable("a batch's answers are not those of its orders")
            results.extend(outcome(order, answer) for order, answer in zip(part, answers))
        return results

    def sign_stream(
        self, orders: Iterable[Order], window: int = 64
    ) -> Iterator[tuple[Order, messages.SignResponse | Refused]]:
        """As many as come, in the order in which they are ready; at most `window` wait for their answers."""
        places, open_orders = threading.Semaphore(window), {}

        def requests() -> Iterator[messages.SignRequest]:
            for tag, order in enumerate(orders):
                places.acquire()
                open_orders[tag] = order
                yield order.request(tag)

        try:
            for answer in self.signing.SignStream(requests()):
                order = open_orders.pop(answer.tag, None)
                if order is None:
                    raise Unbelievable("the stream answers what was not asked")
                places.release()
                yield order, outcome(order, answer)
        except grpc.RpcError as error:
            raise Refused.of(error) from error

    def _call(self, method, request):
        """Calls, and again under the same mark where that may help, within the deadline."""
        until = time.monotonic() + self.seconds
        for tried in range(1, self.tries + 1):
            try:
                return method(request, timeout=max(until - time.monotonic(), 0.001))
            except grpc.RpcError as error:
                refused = Refused.of(error)
                pause = refused.retry_after_ms / 1000 * 2 ** (tried - 1)
                if not refused.retry or tried == self.tries or time.monotonic() + pause >= until:
                    raise refused from error
                time.sleep(pause)


def outcome(order: Order, answer: messages.SignStreamResponse) -> messages.SignResponse | Refused:
    if answer.WhichOneof("result") == "signed":
        return verified(order, answer.signed)
    return Refused.inside(answer.refusal)


def verified(order: Order, answer: messages.SignResponse) -> messages.SignResponse:
    """Believes an answer when the signature verifies, and key id, public key and scheme belong together."""
    if key_id(answer.scheme, answer.public_key) != answer.key_id:
        raise Unbelievable("key id and public key do not belong together")
    if not answer.receipt:
        raise Unbelievable("there is no receipt")
    verify(answer.scheme, answer.public_key, order.message, answer.signature)
    return answer


def key_id(scheme: str, public_key: bytes) -> bytes:
    label = b"keyward/key/v1"
    code, length = bytes([SCHEMES[scheme]]), len(public_key).to_bytes(4, "big")
    return hashlib.sha256(bytes([len(label)]) + label + code + length + public_key).digest()


def verify(scheme: str, public_key: bytes, message: bytes, signature: bytes) -> None:
    """Raises `cryptography.exceptions.InvalidSignature` when it does not verify."""
    match scheme:
        case "ecdsa-secp256k1" | "ecdsa-p256":
            curve = ec.SECP256K1() if scheme == "ecdsa-secp256k1" else ec.SECP256R1()
            key = ec.EllipticCurvePublicKey.from_encoded_point(curve, public_key)
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        case "ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        case "rsa-pss" | "rsa-pkcs1":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
            scheme_padding = pss if scheme == "rsa-pss" else padding.PKCS1v15()
            rsa_key(public_key).verify(signature, message, scheme_padding, hashes.SHA256())
        case other:
            raise Unbelievable(f"`cryptography` cannot verify `{other}`")


def rsa_key(public_key: bytes) -> rsa.RSAPublicKey:
    """`RSAPublicKey` in DER, as SubjectPublicKeyInfo."""

    def wrap(tag: int, body: bytes) -> bytes:
        size = len(body)
        if size < 128:
            return bytes([tag, size]) + body
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([tag, 0x80 | len(length)]) + length + body

    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    key = load_der_public_key(wrap(0x30, algorithm + wrap(0x03, b"\0" + public_key)))
    assert isinstance(key, rsa.RSAPublicKey)
    return key
