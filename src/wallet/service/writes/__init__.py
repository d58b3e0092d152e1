"""From parsed input to a committed batch: requests, the group commit and its ordered sibling for bulk. Begin with
committer.
"""
