"""Check a receipt of the wallet service, with nothing but Python: python verify_receipt.py receipt.json [PUBLIC_KEY]

The script prints what the receipt proves, or ends with the reason why it proves nothing. docs/receipts.md explains the
bytes.
"""

import hashlib
import json
import struct
import sys
import uuid

P, Q = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # Ed25519 (RFC 8032)
D = -121665 * pow(121666, -1, P) % P


def ensure(truth, otherwise):
    if not truth:
        sys.exit(f"proves nothing: {otherwise}")


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def add(a, b):  # points as (x, y, z, xy/z)
    e, f, g, h = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0]), 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    result = (0, 1, 1, 0)
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def decoded(point):
    y = int.from_bytes(point, "little") & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    ensure(y < P and (x * x - square) % P == 0, "a key or a signature is no point of the curve")
    x = x if x & 1 == point[31] >> 7 else P - x
    return x, y, 1, x * y % P


def is_signed(key, message, signature):
    s, digest = int.from_bytes(signature[32:], "little"), hashlib.sha512(signature[:32] + key + message).digest()
    left = times(s, decoded((4 * pow(5, -1, P) % P).to_bytes(32, "little")))
    right = add(decoded(signature[:32]), times(int.from_bytes(digest, "little") % Q, decoded(key)))
    return s < Q and all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def root_of(leaf, index, last, path):
    for neighbour in path:
        while index == last and not index & 1 and last:  # it has no neighbour on this level
            index, last = index >> 1, last >> 1
        leaf = sha256(b"\1", neighbour, leaf) if index & 1 else sha256(b"\1", leaf, neighbour)
        index, last = index >> 1, last >> 1
    return leaf if index == last == 0 else None


def main(receipt, trusted=None):
    ensure(receipt["format"] == 1, "it is of another format")
    raw, head, link, chain = bytes.fromhex, bytes.fromhex(receipt["head"]), receipt["link"], receipt["chain"]
    parts = [(raw(p["salt"]), raw(p["content"])) if "content" in p else raw(p["hash"]) for p in receipt["parts"]]
    lengths = struct.unpack(">4i", head[68:84])  # no text of the head may be taken for a part, or a part for a text
    ensure(head[:2] == b"\1T" and len(head) == 84 + sum(max(each, 0) for each in lengths), "the head is not whole")
    sizes = [len(part) == 32 if isinstance(part, bytes) else len(part[0]) == 16 for part in parts]
    ensure(all(sizes), "a hash is not of 32 bytes, or a salt not of 16")
    hashes = [part if isinstance(part, bytes) else sha256(b"\3", *part) for part in parts]
    leaf = sha256(b"\0", head, struct.pack(">I", len(hashes)), *hashes)
    root = root_of(leaf, receipt["index"], receipt["size"] - 1, [raw(each) for each in receipt["path"]])
    ensure(root == raw(link["root"]), "the transaction does not lead to the root of its batch")
    batch = (link["seq"], uuid.UUID(link["batch_id"]).bytes, link["created_at"], link["transactions"], link["is_given"])
    place = (raw(link["previous"]), link["shard"], link["height"])
    link_hash = sha256(struct.pack(">cB32siqq16sqi?32s", b"\2", 1, *place, *batch, root))
    ensure(link_hash == raw(link["hash"]), "the batch does not lead to its link")
    ends = (chain["height"], raw(chain["hash"]), receipt["signed_at"])
    message = struct.pack(">15siq32sq32sq", b"wallet receipt\1", *place[1:], link_hash, *ends)
    ensure(trusted in (None, receipt["public_key"]), "it is signed by another key than the one that is trusted")
    ensure(is_signed(raw(receipt["public_key"]), message, raw(receipt["signature"])), "the signature is wrong")
    print("valid: transaction", uuid.UUID(bytes=head[2:18]), "in link", link["height"], "of the audit chain")
    for entry in (part[1] for part in parts if isinstance(part, tuple) and part[1][0] == 2):  # as it was hashed
        _, _, wallet, _, sign, amount, _, is_known, _, after = struct.unpack(">Bh16sihqq?Qq", entry)
        then = f", balance then {after}" if is_known else ""
        print(f"  {'credit' if sign > 0 else 'debit'} {amount} on wallet {uuid.UUID(bytes=wallet)}{then}")
    print(f"  signed by {receipt['public_key']}" + ("" if trusted else ": compare it with the key that you know"))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file), *sys.argv[2:])
