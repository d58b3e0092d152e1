"""From parsed input to a committed batch: requests are made, queued and committed in groups.

No caller is known here, and no rule about money. Begin with committer (the queue and the groups). commands makes
requests, bulk takes batches and imports, ordered_committer commits them in order.
"""
