"""The simulator: a fleet in virtual time. Strategies, breaker and division of slots are the product's own.

`fleet` builds and runs one: `pool` and `queue` are what the scripts do with a pool, `worker` pulls as a
worker does, `server` is drawn, and `clockwork` is the time. `rehearsal` runs a recorded load, or an `excerpt`
of it, under several strategies.

Above stand the analytics of the face, which load `rehearsal` by name, `scripts/bench strategies` and the
tests. Below are all three houses, of which it uses what decides and nothing else; none of them may know it.
It must never do I/O, ask a real clock, or draw chance that no seed was given for.
"""
