"""Ways to tamper with claims: with the ledger of handmade."""

from tests.storage.verify.handmade import id_of
from tests.storage.verify.places import at_claim, at_hold, at_line, at_transaction, quoted
from tests.storage.verify.tampering import Tampering


def at_redemption(claim: str, user: str) -> str:
    return f"claim_redemptions (shard 0, claim_id {id_of(claim)}, user_id {id_of(user)})"


CLAIMS = [
    *(
        Tampering(
            f"{field} of a claim", f"UPDATE claims SET {field} = {value} WHERE id = {quoted('claim 2')}",
            7, "claim_is_what_was_told", "transactions (shard 0, id ",
        )
        for field, value in {
            "amount": "2", "uses": "3", "once_per_user": "true",
            "code_hash": "sha256('a code of the intruder')",
        }.items()
    ),
    Tampering(
        "the amount and the uses of a claim", "UPDATE claims SET amount = 4, uses = 5 WHERE once_per_user",
        7, "claim_is_what_was_told", "transactions (shard 0, id ",
    ),
    Tampering(
        "the code of a claim, as its placing told it",
        "UPDATE transactions SET details = jsonb_set(details::jsonb, '{hold, claim, code_hash}', '\"00\"')::text"
        f" WHERE id = {quoted('claim 1')}",
        7, "claim_is_what_was_told", at_transaction("claim 1"),
    ),
    Tampering(
        "a claim that its redemption tells nothing of",
        "UPDATE transactions SET details = (details::jsonb #- '{hold,claim}')::text"
        f" WHERE id = {quoted('redemption 2')}",
        7, "claim_is_what_was_told", at_transaction("redemption 2"),
    ),
    Tampering(
        "a claim deleted", f"DELETE FROM claims WHERE id = {quoted('claim 3')}",
        7, "claim_is_what_was_told", "transactions (shard 0, id ",
    ),
    Tampering(
        "a hold made claimable",
        "INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)"
        f" SELECT amount, created_at, 1, 0, false, id, sha256('x') FROM holds WHERE id = {quoted('hold 3')}",
        7, "claim_is_what_was_told", at_transaction("hold 3"),
    ),
    Tampering(
        "a hold made claimable, by its steps",
        "INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)"
        f" SELECT amount, created_at, 1, 0, false, id, sha256('x') FROM holds WHERE id = {quoted('hold 3')}",
        2, "step_has_its_transaction", "hold_steps (shard 0, wallet_id ",
    ),
    Tampering(
        "a claim made a hold", f"DELETE FROM claims WHERE id = {quoted('claim 3')}",
        2, "step_has_its_transaction", "hold_steps (shard 0, wallet_id ",
    ),
    Tampering(
        "a claim of no hold",
        "INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)"
        f" VALUES (1, now(), 1, 0, false, {quoted('claim x')}, sha256('x'))",
        2, "claim_is_a_hold_of_its_uses", at_claim("claim x"),
    ),
    Tampering(
        "a claim of no hold that nothing tells of",
        "INSERT INTO claims (amount, created_at, uses, shard, once_per_user, id, code_hash)"
        f" VALUES (1, now(), 1, 0, false, {quoted('claim x')}, sha256('x'))",
        7, "claim_is_what_was_told", at_claim("claim x"),
    ),
    *(
        Tampering(
            f"a claim whose hold {what}", f"UPDATE holds SET {change} WHERE id = {quoted('claim 1')}",
            2, "claim_is_a_hold_of_its_uses", at_claim("claim 1"),
        )
        for what, change in {
            "is larger": "amount = amount + 1",
            "has a target": f"target_wallet_id = {quoted('liam')}",
            "never expires": "expires_at = NULL",
            "is captured at its expiry": "capture_at_expiry = true",
            "leaves its lots behind": "carries_lots = false",
            "is older": "created_at = created_at - '1 us'::interval",
        }.items()
    ),
    Tampering(
        "a redemption of more than a use",
        f"UPDATE hold_steps SET captured = 6, held_change = -6 WHERE transaction_id = {quoted('redemption 1')}",
        2, "redemption_moves_one_use_to_a_user", at_line("hold_steps", "kate", 4),
    ),
    Tampering(
        "a redemption that releases the rest",
        f"UPDATE hold_steps SET released = 1 WHERE transaction_id = {quoted('redemption 1')}",
        2, "redemption_moves_one_use_to_a_user", at_line("hold_steps", "kate", 4),
    ),
    Tampering(
        "a redemption by revenue",
        f"UPDATE ledger_entries SET wallet_id = {quoted('revenue')}, position = 1"
        f" WHERE transaction_id = {quoted('redemption 1')} AND direction = 1",
        2, "redemption_moves_one_use_to_a_user", at_line("hold_steps", "kate", 4),
    ),
    Tampering(
        "a redemption that nobody noted",
        f"DELETE FROM claim_redemptions WHERE user_id = {quoted('user liam')}",
        7, "redemption_of_a_user_is_noted", at_transaction("redemption 1"),
    ),
    Tampering(
        "a redemption noted of another user",
        f"UPDATE claim_redemptions SET user_id = {quoted('user nobody')} WHERE user_id = {quoted('user liam')}",
        7, "redemption_of_a_user_is_noted", at_transaction("redemption 1"),
    ),
    Tampering(
        "a redemption noted by another transaction",
        f"UPDATE claim_redemptions SET transaction_id = {quoted('redemption 3')} WHERE user_id = {quoted('user liam')}",
        7, "redemption_of_a_user_is_noted", "(shard 0, ",
    ),
    Tampering(
        "a redemption noted that never was",
        "INSERT INTO claim_redemptions"
        f" VALUES (0, {quoted('claim 2')}, {quoted('user mona')}, {quoted('redemption 3')})",
        7, "redemption_of_a_user_is_noted", at_redemption("claim 2", "user mona"),
    ),
    Tampering(
        "a redemption noted in another shard",
        f"UPDATE claim_redemptions SET shard = 7 WHERE user_id = {quoted('user mona')}",
        7, "redemption_of_a_user_is_noted", at_transaction("redemption 2"),
    ),
    Tampering(
        "a wallet of a redemption given to nobody", f"UPDATE wallets SET user_id = NULL WHERE id = {quoted('liam')}",
        7, "redemption_of_a_user_is_noted", at_transaction("redemption 1"),
    ),
    Tampering(
        "entries under a claim",
        f"UPDATE ledger_entries SET transaction_id = {quoted('cancel 3')}"
        f" WHERE transaction_id = {quoted('redemption 3')}",
        1, "transaction_that_moves_nothing_has_no_entries", at_transaction("cancel 3"),
    ),
    Tampering(
        "a claim that never was, refunded", f"UPDATE transactions SET hold_id = {quoted('claim 3')}"
        f" WHERE id = {quoted('named alike')}",
        7, "refund_has_its_original", f"refund_states (shard 0, original_id {id_of('named alike')})",
    ),
    Tampering(
        "more refunded of a redemption than it moved",
        f"UPDATE refund_states SET refunded = 4 WHERE original_id = {quoted('redemption 4')};"
        f" UPDATE ledger_entries SET amount = 4 WHERE transaction_id = {quoted('redeemed back')}",
        7, "refunds_are_within_their_original", f"refund_states (shard 0, original_id {id_of('redemption 4')})",
    ),
    Tampering(
        "the category of a lot that was redeemed",
        f"UPDATE lots SET category = 'paid' WHERE id = {quoted('lot of redemption 1')}",
        7, "lots_that_go_along_are_as_they_were", at_transaction("redemption 1"),
    ),
    Tampering(
        "a lot that was not redeemed",
        f"DELETE FROM lot_moves WHERE lot_id = {quoted('lot of redemption 1')};"
        f" DELETE FROM lots WHERE id = {quoted('lot of redemption 1')};"
        f" UPDATE wallets SET lot_balance = lot_balance - 5 WHERE id = {quoted('liam')};"
        f" UPDATE transactions SET details = (details::jsonb - 'opened')::text WHERE id = {quoted('redemption 1')}",
        7, "lots_that_go_along_are_as_they_were", at_transaction("redemption 1"),
    ),
    Tampering(
        "a claim closed by hand",
        "ALTER TABLE holds DROP CONSTRAINT holds_open_ck, DROP CONSTRAINT holds_amounts_ck;"
        f" UPDATE holds SET status = 'captured' WHERE id = {quoted('claim 1')}",
        7, "hold_is_what_its_steps_say", at_hold("claim 1"),
    ),
]  # fmt: skip
