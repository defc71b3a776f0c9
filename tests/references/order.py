"""Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011: Philox.

Python integers alone, so that the order of a run does not rest on any library.
"""

WORD = 2**64
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)  # Table 2, Philox4x64.
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # Golden ratio; sqrt(3) - 1.


def philox_block(counter, key, rounds=10):
    """Four words of Philox-4x64 from a counter of four words and a key of two."""
    a, b, c, d = counter
    k, m = key
    for _ in range(rounds):
        high0, low0 = divmod(MULTIPLIERS[0] * a, WORD)
        high1, low1 = divmod(MULTIPLIERS[1] * c, WORD)
        a, b, c, d = high1 ^ b ^ k, low1, high0 ^ d ^ m, low0
        k, m = (k + WEYL[0]) % WORD, (m + WEYL[1]) % WORD
    return a, b, c, d


def permutation(seed, epoch, num_examples):
    """Rows 0 ... N - 1 sorted by word r of the stream of key (seed, epoch).

    The stream's first counter is 1.
    """
    words = []
    while len(words) < num_examples:
        block = len(words) // 4 + 1
        words.extend(philox_block((block, 0, 0, 0), (seed % WORD, epoch)))
    return sorted(range(num_examples), key=lambda row: (words[row], row))


def rows_of_step(seed, step, batch_size, num_examples):
    """Rows of a step; epochs of N // B steps, what is left over is dropped."""
    steps = num_examples // batch_size
    order = permutation(seed, step // steps, num_examples)
    first = (step % steps) * batch_size
    return order[first : first + batch_size]


def replaced(order, place, bad):
    """The row that stands at `place` when the rows `bad` cannot be read."""
    while order[place] in bad:
        place = (place + 1) % len(order)
    return order[place]
