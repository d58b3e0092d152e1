"""The refusals of special requests, and the answer when several apply."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.ledger.rules.test_refusals import ORDINARY_CODES
from tests.ledger.scripts import answer, ask, group, in_columns, lines_of, programme_id, told
from tests.ledger.worlds import World, named, user_id, wallet_id, world
from wallet.ledger.batch import Bounds
from wallet.ledger.model import Attachment
from wallet.ledger.outcomes import RefusalCode as Code
from wallet.ledger.outcomes import Refused

# COIN's supply is 1000, of which 40 are left.
WALLETS = """
wallet        asset balance overdraft_limit max_balance
alice         GOLD  100     0               -
bob           GOLD  50      20              -
cyd           GOLD  0       0               60
eve           GOLD  0       0               -
dora          COIN  40      0               -
COIN.treasury COIN  -960    0               -
"""

# The events before, the request, and its answer.
STORIES = """
before                                             | asked                                        -> answer
h: hold alice 10                                   | h: hold alice 10 (again)                     -> replayed
h: hold alice 10                                   | h: hold alice 11                             -> reference_reused
h: hold alice 10; void h                           | h: hold alice 10 (again)                     -> replayed
h: hold alice 10; c: capture h 4                   | c: capture h 4 (again)                       -> replayed
h: hold alice 10; c: capture h 4                   | c: capture h 4 final                         -> reference_reused
s: spend alice 3; r: refund s 2                    | r: refund s 2 (again)                        -> replayed
s: spend alice 3; r: refund s 2                    | r: refund s 2 forced                         -> reference_reused
m: merge alice bob                                 | m: merge alice bob (again)                   -> replayed
s: spend alice 3; merge alice bob                  | s: spend alice 3 (again)                     -> replayed
                                                   | h: hold alice 5 to alice                     -> same_wallet
                                                   | m: merge alice alice                         -> same_wallet
t: transfer alice bob 5; merge bob alice           | r: refund t                                  -> same_wallet
h: hold alice 5 to bob; merge bob alice            | c: capture h                                 -> same_wallet
                                                   | h: hold nobody 5                             -> wallet_not_found
                                                   | h: hold alice 5 to nobody                    -> wallet_not_found
                                                   | m: merge alice nobody                        -> wallet_not_found
                                                   | x: change nobody max_balance=5               -> wallet_not_found
                                                   | x: settle nobody                             -> wallet_not_found
                                                   | h: hold alice 5 asset SOUP                   -> asset_not_found
                                                   | c: capture h                                 -> hold_not_found
                                                   | v: void h                                    -> hold_not_found
                                                   | i: increase h 5                              -> hold_not_found
                                                   | e: extend h 5                                -> hold_not_found
s: spend alice 3                                   | c: capture s                                 -> hold_not_found
                                                   | r: refund s                                  -> transaction_not_found
                                                   | g: grant unheard alice 5 period 0            -> programme_not_found
                                                   | g: grant gym bob 5 period 0                  -> programme_not_found
                                                   | g: grant gym alice 5 period 1                -> programme_not_found
g: grant gym alice 5 period 0                      | k: grant gym alice 5 period 0                -> programme_not_found
                                                   | h: hold alice 5 asset COIN                   -> asset_mismatch
                                                   | h: hold alice 5 to dora                      -> asset_mismatch
                                                   | m: merge alice dora                          -> asset_mismatch
                                                   | h: hold COIN.treasury 5                      -> system_wallet
                                                   | h: hold GOLD.revenue 5                       -> system_wallet
                                                   | m: merge alice GOLD.revenue                  -> system_wallet
                                                   | m: merge GOLD.breakage alice                 -> system_wallet
                                                   | x: change COIN.treasury max_balance=5        -> system_wallet
                                                   | x: close GOLD.revenue                        -> system_wallet
                                                   | s: spend alice 5 when GOLD.revenue balance 0.. -> system_wallet
                                                   | t: topup dora 5 when COIN.treasury balance -1000.. -> applied
                                                   | t: topup GOLD.revenue 5 lot paid             -> system_wallet
                                                   | x: transfer GOLD.revenue alice 5 upto        -> system_wallet
                                                   | x: transfer COIN.treasury dora 5 upto        -> insufficient_funds
merge alice bob                                    | s: spend alice 5                             -> wallet_merged
merge alice bob                                    | t: topup alice 5                             -> wallet_merged
merge alice bob                                    | h: hold alice 5                              -> wallet_merged
merge alice bob                                    | h: hold bob 5 to alice                       -> wallet_merged
merge alice bob                                    | m: merge bob alice                           -> wallet_merged
merge alice bob                                    | x: reopen alice                              -> wallet_merged
merge alice bob                                    | x: change alice max_balance=5                -> wallet_merged
merge alice bob                                    | x: close alice                               -> wallet_merged
close eve                                          | t: topup eve 5                               -> wallet_closed
close eve                                          | t: transfer alice eve 5                      -> wallet_closed
close eve                                          | h: hold eve 5                                -> wallet_closed
close eve                                          | h: hold alice 5 to eve                       -> wallet_closed
close eve                                          | m: merge eve alice                           -> wallet_closed
close eve                                          | x: change eve max_balance=5                  -> wallet_closed
close eve                                          | x: close eve                                 -> applied
close eve; reopen eve                              | t: topup eve 5                               -> applied
topup eve 5; h: hold eve 5; void h; spend eve 5; close eve | i: increase h 1                      -> wallet_closed
topup eve 5; h: hold eve 5; void h; spend eve 5; close eve | c: capture h                         -> wallet_closed
topup eve 5; h: hold eve 5; void h; spend eve 5; close eve | v: void h                            -> hold_closed
h: hold alice 5; capture h; merge alice bob        | c: capture h                                 -> hold_closed
topup eve 5; s: spend eve 5; close eve             | r: refund s                                  -> wallet_closed
change alice freeze_outgoing=yes                   | s: spend alice 5                             -> wallet_frozen
change alice freeze_outgoing=yes                   | t: topup alice 5                             -> applied
change alice freeze_outgoing=yes                   | h: hold alice 5                              -> wallet_frozen
change alice freeze_outgoing=yes                   | m: merge alice bob                           -> wallet_frozen
change alice freeze_outgoing=yes                   | m: merge bob alice                           -> wallet_frozen
change alice freeze_incoming=yes                   | m: merge alice bob                           -> wallet_frozen
change alice freeze_incoming=yes                   | t: topup alice 5                             -> wallet_frozen
change alice freeze_incoming=yes                   | s: spend alice 5                             -> applied
s: spend alice 5; change alice freeze_incoming=yes | r: refund s                                  -> wallet_frozen
s: spend alice 5; change alice freeze_outgoing=yes | r: refund s                                  -> applied
t: topup alice 5; change alice freeze_outgoing=yes | r: refund t                                  -> wallet_frozen
h: hold alice 5; change alice freeze_outgoing=yes  | c: capture h                                 -> wallet_frozen
h: hold alice 5; change alice freeze_outgoing=yes  | i: increase h 5                              -> wallet_frozen
h: hold alice 5; change alice freeze_outgoing=yes  | v: void h                                    -> applied
h: hold alice 5; change alice freeze_outgoing=yes  | e: extend h 5                                -> applied
h: hold alice 5 to bob; change bob freeze_incoming=yes | c: capture h                             -> wallet_frozen
h: hold alice 5; v: void h                         | c: capture h                                 -> hold_closed
h: hold alice 5; v: void h                         | i: increase h 5                              -> hold_closed
h: hold alice 5; v: void h                         | e: extend h 5                                -> hold_closed
h: hold alice 5; v: void h                         | w: void h                                    -> hold_closed
h: hold alice 5; c: capture h                      | v: void h                                    -> hold_closed
h: hold alice 5 in 10; +9                          | c: capture h                                 -> applied
h: hold alice 5 in 10; +10                         | c: capture h                                 -> hold_closed
k: claim alice 5                                   | k: claim alice 5 (again)                     -> replayed
k: claim alice 5; cancel k                         | k: claim alice 5 (again)                     -> replayed
k: claim alice 5                                   | k: claim alice 5 uses 2                      -> reference_reused
k: claim alice 5; c: redeem k bob                  | c: redeem k bob (again)                      -> replayed
k: claim alice 5; c: redeem k bob                  | c: redeem k cyd                              -> reference_reused
k: claim alice 5; c: cancel k                      | c: cancel k (again)                          -> replayed
k: claim alice 5; l: claim bob 5; c: cancel k      | c: cancel l                                  -> reference_reused
                                                   | k: claim nobody 5                            -> wallet_not_found
                                                   | k: claim alice 5 asset SOUP                  -> asset_not_found
                                                   | k: claim alice 5 asset COIN                  -> asset_mismatch
                                                   | k: claim GOLD.revenue 5                      -> system_wallet
                                                   | k: claim COIN.treasury 5                     -> system_wallet
merge alice bob                                    | k: claim alice 5                             -> wallet_merged
close eve                                          | k: claim eve 5                               -> wallet_closed
change alice freeze_outgoing=yes                   | k: claim alice 5                             -> wallet_frozen
change alice freeze_incoming=yes                   | k: claim alice 5                             -> applied
change alice limit_day=9                           | k: claim alice 5 uses 2                      -> limit_exceeded
change alice limit_day=10                          | k: claim alice 5 uses 2                      -> applied
                                                   | k: claim alice 50 uses 2                     -> applied
                                                   | k: claim alice 51 uses 2                     -> insufficient_funds
                                                   | k: claim bob 35 uses 2                       -> applied
                                                   | k: claim bob 36 uses 2                       -> insufficient_funds
hold alice 1; hold alice 1; hold alice 1           | k: claim alice 1                             -> too_many_holds
claim alice 1; claim alice 1; claim alice 1        | h: hold alice 1                              -> too_many_holds
claim alice 1; claim alice 1; k: claim alice 1; cancel k | h: hold alice 1                        -> applied
claim alice 1; claim alice 1; k: claim alice 1; redeem k bob | h: hold alice 1                    -> applied
claim alice 1                                      | k: claim alice 1 origin ann                  -> too_many_holds
                                                   | k: claim alice 5 when alice version 1        -> version_conflict
                                                   | k: claim alice 5 when alice balance 101..    -> condition_failed
                                                   | k: claim alice 5 when alice balance 100..100 -> applied
                                                   | c: redeem k bob                              -> claim_not_found
                                                   | c: redeem k nobody                           -> claim_not_found
                                                   | c: cancel k                                  -> claim_not_found
h: hold alice 5                                    | c: redeem h bob                              -> claim_not_found
h: hold alice 5                                    | c: cancel h                                  -> claim_not_found
s: spend alice 5                                   | c: redeem s bob                              -> claim_not_found
k: claim alice 5                                   | c: capture k                                 -> hold_is_claim
k: claim alice 5                                   | v: void k                                    -> hold_is_claim
k: claim alice 5                                   | i: increase k 5                              -> hold_is_claim
k: claim alice 5                                   | e: extend k 5                                -> hold_is_claim
k: claim alice 5; cancel k                         | v: void k                                    -> hold_is_claim
k: claim alice 5                                   | c: redeem k nobody                           -> wallet_not_found
k: claim alice 5                                   | c: redeem k alice                            -> same_wallet
k: claim alice 5; merge alice bob                  | c: redeem k bob                              -> same_wallet
k: claim alice 5; merge bob alice                  | c: redeem k bob                              -> wallet_merged
k: claim alice 5; merge alice bob                  | c: redeem k cyd                              -> applied
k: claim alice 5; merge alice bob                  | c: cancel k                                  -> applied
k: claim alice 5                                   | c: redeem k dora                             -> asset_mismatch
k: claim alice 5                                   | c: redeem k COIN.treasury                    -> asset_mismatch
k: claim alice 5                                   | c: redeem k GOLD.revenue                     -> system_wallet
k: claim alice 5                                   | c: redeem k GOLD.treasury                    -> system_wallet
k: claim alice 5; close eve                        | c: redeem k eve                              -> wallet_closed
k: claim alice 5; change alice freeze_outgoing=yes | c: redeem k bob                              -> wallet_frozen
k: claim alice 5; change alice freeze_incoming=yes | c: redeem k bob                              -> applied
k: claim alice 5; change bob freeze_incoming=yes   | c: redeem k bob                              -> wallet_frozen
k: claim alice 5; change bob freeze_outgoing=yes   | c: redeem k bob                              -> applied
k: claim alice 5; change alice freeze_outgoing=yes | c: cancel k                                  -> applied
k: claim alice 5; cancel k                         | c: redeem k bob                              -> claim_closed
k: claim alice 5; cancel k                         | c: cancel k                                  -> claim_closed
k: claim alice 5; redeem k bob                     | c: redeem k cyd                              -> claim_closed
k: claim alice 5; redeem k bob                     | c: cancel k                                  -> claim_closed
k: claim alice 5 uses 2; redeem k bob              | c: redeem k bob                              -> applied
k: claim alice 5 uses 2; redeem k bob              | c: redeem k cyd                              -> applied
k: claim alice 5 in 10; +9                         | c: redeem k bob                              -> applied
k: claim alice 5 in 10; +10                        | c: redeem k bob                              -> claim_closed
k: claim alice 5 in 10; +10                        | c: cancel k                                  -> claim_closed
k: claim alice 5 uses 2 once; redeem k bob         | c: redeem k bob                              -> already_redeemed
k: claim alice 5 uses 2 once; redeem k bob         | c: redeem k cyd                              -> already_redeemed
k: claim bob 5 uses 2 once; redeem k cyd           | c: redeem k alice                            -> applied
k: claim alice 5 uses 2 once; l: claim alice 5 uses 2 once; redeem k bob | c: redeem l bob        -> applied
k: claim alice 5 uses 2 once; redeem k bob; r: transfer bob alice 5 | c: redeem k bob             -> already_redeemed
k: claim alice 5 uses 2 once; c: redeem k bob; refund c | d: redeem k bob                         -> already_redeemed
k: claim alice 5 uses 3 once; redeem k bob; merge bob eve | c: redeem k cyd                       -> already_redeemed
k: claim alice 5 uses 2 once                       | c: redeem k eve                              -> wallet_without_user
k: claim alice 5 uses 2                            | c: redeem k eve                              -> applied
k: claim alice 5                                   | c: redeem k bob when bob version 1           -> version_conflict
k: claim alice 5                                   | c: redeem k bob when alice version 0         -> version_conflict
k: claim alice 5                                   | c: redeem k bob when cyd version 0           -> condition_failed
k: claim alice 5                                   | c: redeem k bob when bob balance ..54        -> condition_failed
k: claim alice 5                                   | c: redeem k bob when bob balance 55..55      -> applied
k: claim alice 5                                   | c: redeem k bob when alice balance 95..95    -> applied
k: claim alice 5                                   | c: cancel k when alice version 0             -> version_conflict
k: claim alice 5                                   | c: cancel k when alice balance 101..         -> condition_failed
k: claim alice 61                                  | c: redeem k cyd                              -> max_balance_exceeded
k: claim alice 60                                  | c: redeem k cyd                              -> applied
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot promotional; k: claim bob 9 | c: redeem k eve -> too_many_lots
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot promotional; topup bob 9 lot promotional; k: claim bob 9 | c: redeem k eve -> applied
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid; k: claim bob 9 | c: redeem k eve -> applied
topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot promotional; topup bob 9 lot promotional in 9; k: claim bob 9 uses 2 | c: redeem k eve -> applied
topup eve 1 lot paid; topup bob 9 lot promotional; k: claim bob 9 | c: redeem k eve origin ann    -> too_many_lots
k: claim alice 5; cancel k                         | c: redeem k bob origin ann                   -> claim_not_found
k: claim alice 5; redeem k cyd                     | c: redeem k bob origin ann                   -> claim_not_found
k: claim alice 5 in 9; +9                          | c: redeem k bob origin ann                   -> claim_not_found
k: claim alice 5; change alice freeze_outgoing=yes | c: redeem k bob origin ann                   -> claim_not_found
k: claim alice 5; cancel k                         | c: redeem k dora origin ann                  -> claim_not_found
k: claim alice 5; cancel k                         | c: redeem k alice origin ann                 -> claim_not_found
k: claim alice 5; cancel k; change bob freeze_incoming=yes | c: redeem k bob origin ann           -> claim_not_found
k: claim alice 5; change alice freeze_outgoing=yes | c: redeem k dora origin ann                  -> claim_not_found
k: claim alice 5                                   | c: redeem k dora origin ann                  -> asset_mismatch
k: claim alice 5                                   | c: redeem k alice origin ann                 -> same_wallet
k: claim alice 5; change bob freeze_incoming=yes   | c: redeem k bob origin ann                   -> wallet_frozen
k: claim alice 5 uses 2 once; redeem k bob         | c: redeem k bob origin ann                   -> already_redeemed
k: claim alice 5; merge alice eve                  | c: redeem k bob origin ann                   -> applied
k: claim alice 5; cancel k                         | c: cancel k origin ann                       -> claim_closed
k: claim alice 5                                   | x: close alice                               -> wallet_not_empty
topup eve 5; k: claim eve 5; redeem k bob          | x: close eve                                 -> applied
k: claim alice 5                                   | r: refund k                                  -> not_refundable
k: claim alice 5; c: cancel k                      | r: refund c                                  -> not_refundable
k: claim alice 5; c: redeem k bob                  | r: refund c 3                                -> applied
k: claim alice 5; c: redeem k bob                  | r: refund c 6                                -> refund_exceeds_original
h: hold alice 5                                    | r: refund h                                  -> not_refundable
h: hold alice 5; v: void h                         | r: refund v                                  -> not_refundable
h: hold alice 5; i: increase h 1                   | r: refund i                                  -> not_refundable
h: hold alice 5; e: extend h 1                     | r: refund e                                  -> not_refundable
s: spend alice 5; r: refund s                      | k: refund r                                  -> not_refundable
x: move alice-5,bob+5                              | r: refund x 5                                -> not_refundable
x: move alice-5,bob+5                              | r: refund x                                  -> applied
g: grant gym alice 5 period 0                      | r: refund g                                  -> applied
change alice max_balance=1; g: grant gym alice 5 period 0 | r: refund g                           -> not_refundable
                                                   | s: spend alice 5 effective 6                 -> effective_in_future
                                                   | s: spend alice 5 effective 5                 -> applied
                                                   | s: spend alice 5 effective -99999            -> applied
h: hold alice 5                                    | c: capture h effective 6                     -> effective_in_future
s: spend alice 5; +60                              | r: refund s effective -61                    -> effective_before_original
s: spend alice 5; +60                              | r: refund s effective -60                    -> applied
                                                   | t: topup alice 5 lot paid till 0             -> expiry_out_of_range
                                                   | t: topup alice 5 lot paid till 1             -> applied
h: hold alice 5 in 9; +5                           | e: extend h 34559996                         -> expiry_out_of_range
h: hold alice 5 in 9; +5                           | e: extend h 34559995                         -> applied
spend alice 1                                      | s: spend alice 5 when alice version 0        -> version_conflict
spend alice 1                                      | s: spend alice 5 when alice version 1        -> applied
spend alice 1                                      | x: change alice max_balance=5 version 0      -> version_conflict
change alice max_balance=500                       | s: spend alice 5 when alice version 0        -> version_conflict
h: hold alice 5                                    | s: spend alice 5 when alice version 0        -> version_conflict
h: hold alice 5                                    | c: capture h 6                               -> capture_exceeds_hold
h: hold alice 5; c: capture h 3                    | d: capture h 3                               -> capture_exceeds_hold
h: hold alice 5; c: capture h 3                    | d: capture h 3 upto                          -> applied
h: hold alice 5; c: capture h 3                    | d: capture h 3 upto least 3                  -> capture_exceeds_hold
s: spend alice 5                                   | r: refund s 6                                -> refund_exceeds_original
s: spend alice 5; refund s 3                       | r: refund s 3                                -> refund_exceeds_original
s: spend alice 5; refund s 3                       | r: refund s 2                                -> applied
s: spend alice 5; refund s                         | r: refund s                                  -> refund_exceeds_original
x: move alice-5,bob+5; refund x                    | r: refund x                                  -> refund_exceeds_original
change alice limit_day=9; spend alice 5            | s: spend alice 5                             -> limit_exceeded
change alice limit_day=9; spend alice 5            | h: hold alice 5                              -> limit_exceeded
change alice limit_month=9; h: hold alice 5        | i: increase h 5                              -> limit_exceeded
                                                   | h: hold alice 101                            -> insufficient_funds
h: hold alice 60                                   | s: spend alice 41                            -> insufficient_funds
h: hold alice 60                                   | i: increase h 41                             -> insufficient_funds
h: hold alice 60                                   | s: spend alice 41 upto least 41              -> insufficient_funds
                                                   | s: spend bob 51 upto least 51                -> insufficient_funds
t: topup eve 5; spend eve 3                        | r: refund t                                  -> insufficient_funds
t: topup eve 5; spend eve 3                        | r: refund t 2                                -> applied
t: topup eve 5; spend eve 3                        | r: refund t forced                           -> applied
spend bob 60                                       | m: merge bob alice                           -> insufficient_funds
x: move dora-5,COIN.treasury+5; topup dora 45      | r: refund x                                  -> supply_exceeded
h: hold alice 61 to cyd                            | c: capture h                                 -> max_balance_exceeded
topup cyd 60; s: spend cyd 30; topup cyd 30        | r: refund s                                  -> applied
                                                   | m: merge alice cyd                           -> max_balance_exceeded
topup eve 5 lot paid; topup eve 5 lot paid         | t: topup eve 5 lot paid                      -> applied
topup eve 5 lot paid; topup eve 5 lot paid; topup eve 5 lot paid | t: topup eve 5 lot paid        -> too_many_lots
topup eve 5 lot paid; topup eve 5 lot paid; topup eve 5 lot paid; spend eve 1 | t: topup eve 5 lot paid -> too_many_lots
topup eve 5 lot paid; topup eve 5 lot paid; topup eve 5 lot paid; spend eve 5 | t: topup eve 5 lot paid -> applied
topup eve 5 lot paid; topup eve 5 lot paid; topup eve 5 lot paid | t: topup eve 5                 -> applied
topup eve 5 lot paid in 9; topup eve 5 lot paid; topup eve 5 lot paid; +8 | t: topup eve 5 lot paid -> too_many_lots
topup eve 5 lot paid in 9; topup eve 5 lot paid; topup eve 5 lot paid; +9 | t: topup eve 5 lot paid -> applied
topup eve 5 lot paid; topup eve 5 lot paid; topup eve 5 lot paid | g: bonus eve 5 from alice lot paid -> too_many_lots
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot paid | x: transfer bob eve 9 -> applied
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot promotional | x: transfer bob eve 9 -> too_many_lots
topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot promotional; topup bob 1 lot paid in 9 | x: transfer bob eve 10 -> too_many_lots
topup eve 1 lot paid; topup eve 1 lot paid; topup bob 9 lot promotional; topup bob 1 lot promotional | x: transfer bob eve 10 -> applied
topup alice 1 lot paid; topup alice 1 lot paid; topup alice 1 lot paid | g: grant gym alice 5 period 0 -> applied
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid; topup bob 1 lot paid | m: merge bob eve -> applied
topup eve 1 lot paid; topup bob 1 lot paid         | t: topup eve 5 lot paid origin ann           -> too_many_lots
topup bob 1 lot promotional                        | x: transfer bob eve 1 origin ann             -> applied
topup eve 1 lot paid; topup bob 1 lot promotional  | x: transfer bob eve 1 origin ann             -> too_many_lots
topup eve 1 lot paid; topup bob 1 lot paid         | x: transfer bob eve 1 origin ann             -> applied
hold alice 1; hold alice 1                         | h: hold alice 1                              -> applied
hold alice 1; hold alice 1; hold alice 1           | h: hold alice 1                              -> too_many_holds
hold alice 1; hold alice 1; h: hold alice 1; void h | h2: hold alice 1                            -> applied
hold alice 1; hold alice 1; h: hold alice 1; capture h 1 | h2: hold alice 1                       -> applied
hold alice 1; hold alice 1; hold alice 1 in 9; +8  | h: hold alice 1                              -> too_many_holds
hold alice 1; hold alice 1; hold alice 1 in 9; +9  | h: hold alice 1                              -> applied
hold alice 1; hold alice 1; h: hold alice 1        | i: increase h 1                              -> applied
hold alice 1; hold alice 1; hold alice 1           | h: hold bob 1 to alice                       -> applied
hold alice 1; hold bob 1; hold bob 1; merge bob alice | h: hold alice 1                           -> too_many_holds
hold alice 1                                       | h: hold alice 1 origin ann                   -> too_many_holds
                                                   | h: hold alice 1 origin ann                   -> applied
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture | h: hold bob 1 to eve in 9 on-expiry-capture -> too_many_holds
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture | h: hold bob 1 to eve in 9 -> applied
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture | h: hold bob 1 to cyd in 9 on-expiry-capture -> applied
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9; hold bob 1 to eve | h: hold bob 1 to eve in 9 on-expiry-capture -> applied
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; +9 | h: hold bob 1 to eve in 9 on-expiry-capture -> applied
hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to eve in 9 on-expiry-capture; hold alice 1 to cyd in 9 on-expiry-capture; merge cyd eve | h: hold bob 1 to eve in 9 on-expiry-capture -> too_many_holds
hold alice 1 to eve in 9 on-expiry-capture         | h: hold bob 1 to eve in 9 on-expiry-capture origin ann -> too_many_holds
                                                   | x: close alice                               -> wallet_not_empty
topup eve 5; h: hold eve 5                         | x: close eve                                 -> wallet_not_empty
h: hold alice 5 to eve                             | x: close eve                                 -> wallet_not_empty
h: hold alice 5 to eve; void h                     | x: close eve                                 -> applied
h: hold alice 5 to cyd; merge cyd eve              | x: close eve                                 -> wallet_not_empty
                                                   | x: close eve                                 -> applied
                                                   | s: spend alice 5 when alice balance 96..     -> condition_failed
                                                   | s: spend alice 5 when alice balance 95..95   -> applied
                                                   | s: spend alice 5 when alice balance ..94     -> condition_failed
                                                   | s: spend alice 5 when bob version 0          -> condition_failed
                                                   | s: spend alice 5 when bob balance 0..        -> condition_failed
h: hold alice 5                                    | c: capture h when alice balance 96..         -> condition_failed
h: hold alice 5                                    | c: capture h when alice balance 95..95       -> applied
h: hold alice 5 to bob                             | c: capture h when bob balance 55..55         -> applied
                                                   | h: hold alice 5 when alice balance 100..100  -> applied
                                                   | h: hold alice 5 to bob when bob balance 50..50 -> applied
                                                   | h: hold alice 5 when alice balance 101..     -> condition_failed
h: hold alice 5                                    | i: increase h 5 when alice balance 100..100  -> applied
h: hold alice 5                                    | i: increase h 5 when alice balance ..99      -> condition_failed
h: hold alice 5                                    | v: void h when alice balance 100..100        -> applied
h: hold alice 5                                    | i: increase h 5 when alice version 0         -> version_conflict
h: hold alice 5                                    | v: void h when alice version 0               -> version_conflict
h: hold alice 5                                    | v: void h when alice balance 101..           -> condition_failed
h: hold alice 5                                    | v: void h when bob balance 0..               -> condition_failed
h: hold alice 5 in 9                               | e: extend h 9 when alice balance 101..       -> condition_failed
                                                   | m: merge alice bob when bob balance 150..150 -> applied
                                                   | m: merge alice bob when alice balance 0..0   -> applied
                                                   | m: merge alice bob when bob version 1        -> version_conflict
                                                   | m: merge alice bob when bob balance 151..    -> condition_failed
s: spend alice 5                                   | r: refund s when alice balance 100..100      -> applied
s: spend alice 5                                   | r: refund s when alice balance 101..         -> condition_failed
s: spend alice 5                                   | r: refund s when GOLD.revenue balance 0..    -> system_wallet
"""  # noqa: E501

# Two refusals that apply at once, of which the first is the answer; and the second, once the first is mended.
PRECEDENCE = """
before                                              | asked                                         | mended                              -> first                    > second
                                                    | h: hold alice 5 asset COIN to alice           | h: hold alice 5 asset COIN          -> same_wallet              > asset_mismatch
                                                    | h: hold nobody 5 asset SOUP                   | h: hold alice 5 asset SOUP          -> wallet_not_found         > asset_not_found
                                                    | h: hold GOLD.revenue 5 asset COIN             | h: hold GOLD.revenue 5              -> asset_mismatch           > system_wallet
                                                    | x: move alice-5,GOLD.revenue+6 when GOLD.revenue balance 0.. | x: move alice-5,GOLD.revenue+6 -> system_wallet          > legs_unbalanced
merge alice bob                                     | x: move alice-5,eve+6                         | x: move alice-5,eve+5               -> legs_unbalanced          > wallet_merged
merge alice bob; close eve                          | t: transfer alice eve 5                       | t: transfer bob eve 5               -> wallet_merged            > wallet_closed
close eve; change alice freeze_outgoing=yes         | t: transfer alice eve 5                       | t: transfer alice cyd 5             -> wallet_closed            > wallet_frozen
k: claim alice 5                                    | c: capture k when GOLD.revenue balance 0..    | h: hold GOLD.revenue 5              -> hold_is_claim            > system_wallet
k: claim alice 5                                    | c: redeem k COIN.treasury                     | c: redeem k GOLD.treasury           -> asset_mismatch           > system_wallet
k: claim alice 5; cancel k; close eve               | c: redeem k eve                               | c: redeem k cyd                     -> wallet_closed            > claim_closed
k: claim alice 5; cancel k; change cyd freeze_incoming=yes | c: redeem k cyd                        | c: cancel k                         -> wallet_frozen            > claim_closed
k: claim alice 5 once; redeem k bob                 | c: redeem k eve                               | r: refund k                         -> claim_closed             > not_refundable
k: claim alice 5 once                               | c: redeem k eve when eve version 9            | d: redeem k bob when bob version 9  -> wallet_without_user      > version_conflict
k: claim alice 5 uses 2 once; redeem k bob          | c: redeem k cyd when cyd version 9            | c: cancel k when alice version 9    -> already_redeemed         > version_conflict
k: claim alice 61 once                              | c: redeem k cyd when cyd version 9            | c: redeem k cyd                     -> version_conflict         > max_balance_exceeded
topup cyd 1 lot paid; topup cyd 1 lot paid; topup cyd 1 lot paid; topup bob 62 lot promotional; k: claim bob 61; l: claim bob 1 | c: redeem k cyd | c: redeem l cyd -> max_balance_exceeded > too_many_lots
topup cyd 1 lot paid; topup cyd 1 lot paid; topup cyd 1 lot paid; topup bob 2 lot promotional; k: claim bob 1; topup alice 1; l: claim alice 1 | c: redeem k cyd when cyd balance ..1 | c: redeem l cyd when cyd balance ..1 -> too_many_lots > condition_failed
h: hold alice 5; v: void h; change alice freeze_outgoing=yes | c: capture h                         | i: extend h 9                       -> wallet_frozen            > hold_closed
h: hold alice 5; void h                             | c: capture h effective 9                      | s: spend alice 5 effective 9        -> hold_closed              > effective_in_future
h: hold alice 5                                     | r: refund h effective 9                       | s: spend alice 5 effective 9        -> not_refundable           > effective_in_future
                                                    | t: topup alice 5 lot paid till 0 effective 9  | t: topup alice 5 lot paid till 0    -> effective_in_future      > expiry_out_of_range
s: spend alice 5                                    | r: refund s effective -9 when alice version 9 | r: refund s when alice version 9    -> effective_before_original > version_conflict
                                                    | t: topup alice 5 lot paid till 0 when alice version 9 | t: topup alice 5 when alice version 9 -> expiry_out_of_range > version_conflict
h: hold alice 5                                     | c: capture h 6 when alice version 9           | c: capture h 6                      -> version_conflict         > capture_exceeds_hold
s: spend alice 5                                    | r: refund s 6 when alice version 9            | r: refund s 6                       -> version_conflict         > refund_exceeds_original
change alice limit_day=9                            | s: spend alice 101 when alice version 9       | s: spend alice 101                  -> version_conflict         > limit_exceeded
change alice limit_day=9                            | s: spend alice 101                            | s: spend alice 9                    -> limit_exceeded           > applied
change bob limit_day=9                              | s: spend bob 71                               | s: spend alice 101                  -> limit_exceeded           > insufficient_funds
h: hold alice 65 to cyd                             | c: capture h 66                               | c: capture h 65                     -> capture_exceeds_hold     > max_balance_exceeded
t: topup eve 5; spend eve 5                         | r: refund t 6                                 | r: refund t                         -> refund_exceeds_original  > insufficient_funds
                                                    | s: spend alice 101 when alice balance 99..    | s: spend alice 100 when alice balance 99.. -> insufficient_funds > condition_failed
                                                    | t: topup dora 41 when dora balance ..9        | t: topup dora 40 when dora balance ..9 -> supply_exceeded        > condition_failed
topup cyd 1 lot paid; topup cyd 1 lot paid; topup cyd 1 lot paid | t: topup cyd 61 lot paid         | t: topup cyd 1 lot paid             -> max_balance_exceeded     > too_many_lots
topup eve 1 lot paid; topup eve 1 lot paid; topup eve 1 lot paid | t: topup eve 1 lot paid when eve balance ..1 | t: topup eve 1 when eve balance ..1 -> too_many_lots > condition_failed
hold alice 1; hold alice 1; hold alice 1            | h: hold alice 98                              | h: hold alice 97                    -> insufficient_funds       > too_many_holds
hold alice 1; hold alice 1; hold alice 1            | h: hold alice 9 when alice balance ..1        | h: hold bob 9 to alice when alice balance ..1 -> too_many_holds > condition_failed
                                                    | t: topup cyd 61 when cyd balance ..9          | t: topup cyd 60 when cyd balance ..9 -> max_balance_exceeded     > condition_failed
spend alice 1                                       | x: close alice version 0                      | x: close alice                      -> version_conflict         > wallet_not_empty
"""  # noqa: E501


@pytest.fixture(params=[False, True], ids=["whole", "thrifty"])
def here(request: pytest.FixtureRequest) -> World:
    """Told twice: with everything at hand, and with no more than storage loads."""
    attachment = Attachment(programme_id("gym"), wallet_id("alice"), 0)
    attachments = {(attachment.programme_id, attachment.wallet_id): attachment}
    users = {wallet_id(name): user_id(user) for name, user in (("alice", "ann"), ("bob", "ben"), ("cyd", "ben"))}
    start = replace(world(WALLETS), attachments=attachments, users=users)
    return replace(start, is_thrifty=request.param, bounds=Bounds(3, 3))


@pytest.mark.parametrize("row", in_columns(STORIES), ids=" | ".join)
def test_a_request_is_answered_as_the_table_says(here: World, row: list[str]) -> None:
    before, asked, expected = row
    assert named(answer(told(here, *lines_of(before)), asked)) == expected


@pytest.mark.parametrize("row", in_columns(PRECEDENCE.replace(" > ", " -> ")), ids=" | ".join)
def test_of_two_refusals_that_apply_the_first_is_the_answer(here: World, row: list[str]) -> None:
    before, asked, mended, first, second = row
    here = told(here, *lines_of(before))
    assert (named(answer(here, asked)), named(answer(here, mended))) == (first, second)


def test_every_refusal_code_has_a_row_in_one_of_the_tables() -> None:
    of_groups = {Code.GROUP_REFUSED.value, Code.GROUP_TOO_LARGE.value}
    ordinary = {code.value for code in ORDINARY_CODES}
    assert {code.value for code in Code} <= {row[2] for row in in_columns(STORIES)} | ordinary | of_groups


def test_every_step_of_the_order_of_decisions_is_before_the_next_in_some_row() -> None:
    steps = [
        {Code.SAME_WALLET}, {Code.WALLET_NOT_FOUND, Code.ASSET_NOT_FOUND}, {Code.ASSET_MISMATCH}, {Code.SYSTEM_WALLET},
        {Code.LEGS_UNBALANCED}, {Code.WALLET_MERGED, Code.WALLET_CLOSED}, {Code.WALLET_FROZEN},
        {Code.HOLD_CLOSED, Code.NOT_REFUNDABLE}, {Code.EFFECTIVE_IN_FUTURE, Code.EFFECTIVE_BEFORE_ORIGINAL},
        {Code.VERSION_CONFLICT}, {Code.CAPTURE_EXCEEDS_HOLD, Code.REFUND_EXCEEDS_ORIGINAL, Code.LIMIT_EXCEEDED},
    ]  # fmt: skip
    pairs = {(row[3], row[4]) for row in in_columns(PRECEDENCE.replace(" > ", " -> "))}
    pairs |= {("wallet_not_found", "asset_mismatch"), ("same_wallet", "wallet_not_found")}  # in test_refusals.py
    for step, following in pairwise(steps):
        assert any((one.value, other.value) in pairs for one in step for other in following), (step, following)


def refusal(here: World, line: str) -> Refused:
    outcome = answer(here, line)
    assert isinstance(outcome, Refused), outcome
    return outcome


def test_a_frozen_wallet_is_named_with_the_direction_it_is_frozen_in_and_debited_ones_come_first(here: World) -> None:
    here = told(here, "change alice freeze_outgoing=yes", "change bob freeze_incoming=yes")
    refused = refusal(here, "x: move bob+5,alice-5")
    assert (refused.wallet_id, refused.members) == (wallet_id("alice"), (("direction", "outgoing"),))
    refused = refusal(here, "x: move bob+5,cyd-5")
    assert (refused.wallet_id, refused.members) == (wallet_id("bob"), (("direction", "incoming"),))


def test_a_merged_wallet_names_the_one_it_was_merged_into(here: World) -> None:
    refused = refusal(told(here, "merge alice bob"), "s: spend alice 1")
    assert refused.members == (("merged_into", str(wallet_id("bob"))),)


@pytest.mark.parametrize(
    ("before", "status"),
    [("void h", "voided"), ("capture h", "captured"), ("capture h 1 final", "captured"), ("+9", "expired")],
)
def test_a_closed_hold_says_how_it_ended(here: World, before: str, status: str) -> None:
    here = told(here, "h: hold alice 5 in 9", before)
    assert refusal(here, "c: capture h").members == (("hold_status", status),)


@pytest.mark.parametrize(
    ("before", "status"), [("cancel k", "cancelled"), ("redeem k bob", "redeemed"), ("+9", "expired")]
)
@pytest.mark.parametrize("asked", ["c: redeem k cyd", "c: cancel k"])
def test_a_closed_claim_says_how_it_ended(here: World, before: str, status: str, asked: str) -> None:
    here = told(here, "k: claim alice 5 in 9", before)
    assert refusal(here, asked).members == (("claim_status", status),)


def test_a_bound_caller_hears_of_a_claim_that_is_over_what_it_hears_of_a_code_that_never_was(here: World) -> None:
    never = refusal(here, "c: redeem k bob origin ann")
    for before in ("cancel k", "redeem k cyd", "+9", "change alice freeze_outgoing=yes"):
        over = told(here, "k: claim alice 5 in 9", before)
        assert refusal(over, "c: redeem k bob origin ann") == never
        assert refusal(over, "c: redeem k dora origin ann") == never


def test_a_version_conflict_says_which_version_the_wallet_has(here: World) -> None:
    refused = refusal(told(here, "spend alice 1"), "s: spend alice 5 when alice version 7")
    assert (refused.wallet_id, refused.members) == (wallet_id("alice"), (("version", 1),))


def test_a_spending_limit_says_limit_used_and_when_it_resets(here: World) -> None:
    here = told(here, "change alice limit_day=9", "spend alice 3", "+60", "h: hold alice 4")
    refused = refusal(here, "s: spend alice 3")
    assert dict(refused.members) == {"per": "day", "limit": 9, "used": 7, "resets_at": "2026-01-02T12:00:00.000000Z"}


def test_a_limit_reset_is_counted_from_the_first_debit_of_the_same_batch_too(here: World) -> None:
    here = told(here, "change alice limit_day=9")
    refused = here.decide(ask("s: spend alice 6", here), ask("t: spend alice 6", here)).outcomes[1]
    assert isinstance(refused, Refused)
    assert dict(refused.members)["resets_at"] == "2026-01-02T12:00:00.000000Z"


@pytest.mark.parametrize("limit", ["limit_day=9", "limit_month=9", "limit_day=9 limit_month=9"])
def test_what_the_same_batch_has_debited_counts_for_each_limit(limit: str, here: World) -> None:
    here = told(here, f"change alice {limit}")
    first, second = here.decide(ask("s: spend alice 6", here), ask("t: spend alice 6", here)).outcomes
    assert [named(first), named(second)] == ["applied", "limit_exceeded"]


def test_an_overdrawn_wallet_that_is_to_be_merged_says_by_how_much(here: World) -> None:
    refused = refusal(told(here, "spend bob 60"), "m: merge bob alice")
    assert (refused.wallet_id, refused.available, refused.required) == (wallet_id("bob"), -10, 0)


def test_a_monthly_limit_resets_when_the_month_ends(here: World) -> None:
    here = told(here, "change alice limit_month=9", "spend alice 9")
    assert dict(refusal(here, "s: spend alice 1").members)["resets_at"] == "2026-02-01T00:00:00.000000Z"


def test_insufficient_funds_say_what_is_available_and_what_is_required(here: World) -> None:
    refused = refusal(told(here, "hold bob 30"), "s: spend bob 41")
    assert (refused.wallet_id, refused.available, refused.required) == (wallet_id("bob"), 40, 41)


def test_a_refused_item_of_a_group_is_the_only_one_that_says_why(here: World) -> None:
    (outcome,) = here.decide(group("g", ["a: spend alice 5", "b: spend alice 500", "c: spend alice 5"], here)).outcomes
    assert named(outcome) == "group_refused,insufficient_funds,group_refused"


def test_the_id_of_a_hold_is_that_of_the_transaction_that_placed_it(
    here: World,
) -> None:
    here = told(here, "h: hold alice 5")
    assert here.hold("h").id == ask("h: hold alice 5", here).id
