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


def mixed_rows_of_step(seed, step, batch_size, num_examples, labelled, known):
    """Rows of a step of which so many are among the first `known` rows.

    Their stream is one permutation after the other, of the keys 2**63, 2**63 + 1, ...;
    an epoch is a pass over the others. Place i is a labelled one's where the number of
    these due by then, i + 1 of all places, has risen.
    """
    others = num_examples - known
    rest = rows_of_step(seed, step, batch_size - labelled, others)
    stream = []
    epoch = step * labelled // known
    while len(stream) < 2 * known:
        stream += permutation(seed, 2**63 + epoch + len(stream) // known, known)
    first = step * labelled % known
    chosen, rest = iter(stream[first:]), iter(rest)
    rows = []
    for i in range(batch_size):
        due = (i + 1) * labelled // batch_size > i * labelled // batch_size
        rows.append(next(chosen) if due else known + next(rest))
    return rows
