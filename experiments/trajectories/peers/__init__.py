"""The judges by method.

Each is (folder of the repositories, settings) -> (losses, leaves) or (losses, leaves,
more arrays for the record).
"""

from peers import banks, clusters, dinov2, pairs, transformers

PEERS = {
    **pairs.PEERS,
    **banks.PEERS,
    **clusters.PEERS,
    **transformers.PEERS,
    **dinov2.PEERS,
}
