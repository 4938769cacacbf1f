"""Routing rules: what a fleet says of its requests before they are enqueued.

    Rule       one rule as it is written: when it fits, and what it does then (pydantic, at the edges)
    Ruleset    all of them, compiled once; `decide(facts)` → Decision, a pure function
    Bulletin   what producers read in the store: the fleet's rules and their version
    Ruling     which rules fitted a request, at which version; travels with it
    tagged     the pool of those servers of a capability that carry tags

The modules inside: `rule`, `pointer` (JSON Pointer), `pattern` (regular expressions in linear time),
`ruleset`, `bulletin`, `ruling`, `tag`, `starter` (four rules to begin with). Above stand the configuration,
the store and every producer. Nothing here does I/O, and only `rule` loads pydantic.
"""
